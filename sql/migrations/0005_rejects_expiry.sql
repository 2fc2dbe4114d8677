-- Finds the rejects that are older than REJECTS_DAYS.
-- Not every engine has CREATE INDEX IF NOT EXISTS. core/database/migrations.py ignores the error of
-- an index that exists.
CREATE INDEX rejects_expiry ON rejects (rejected_at);
