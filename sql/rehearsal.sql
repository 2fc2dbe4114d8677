-- For SQLite, not for the server: what a dry run would have written, an id and a hash a row, in one
-- table for each of ours.

-- name: create
CREATE TABLE {name} (id INTEGER PRIMARY KEY, hash INTEGER);

-- name: find
SELECT id, hash FROM {name} WHERE id IN (?);

-- name: put
INSERT OR REPLACE INTO {name} VALUES (?, ?);

-- A temporary file: it need not survive a crash.
-- name: synchronous_off
PRAGMA synchronous = OFF;

-- name: journal_off
PRAGMA journal_mode = OFF;
