-- Rejects are deleted after REJECTS_DAYS: this finds the oldest.
-- Not every engine has CREATE INDEX IF NOT EXISTS: core/database/migrations.py passes over an index that is
-- there already.
CREATE INDEX rejects_expiry ON rejects (rejected_at);
