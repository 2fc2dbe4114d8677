-- For SQLite, not for the server: the rows that a load would write, as one id and one hash per row.
-- Each table of the database has its own table here.

-- name: create
CREATE TABLE {name} (id INTEGER PRIMARY KEY, hash INTEGER);

-- name: find
SELECT id, hash FROM {name} WHERE id IN (?);

-- name: put
INSERT OR REPLACE INTO {name} VALUES (?, ?);

-- A temporary file does not have to survive a crash.
-- name: synchronous_off
PRAGMA synchronous = OFF;

-- name: journal_off
PRAGMA journal_mode = OFF;
