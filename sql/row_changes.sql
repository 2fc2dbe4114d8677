-- A change of a single row, recorded in the transaction that makes it. The rows are JSON, as the API
-- shows them.
-- name: insert
INSERT INTO row_changes (table_name, row_id, changed_by, kind, old_row, new_row)
VALUES (%s, %s, %s, %s, %s, %s);

-- name: page
SELECT id, changed_at, changed_by, kind, old_row, new_row FROM row_changes
WHERE table_name = %s AND row_id = %s AND id > %s ORDER BY id LIMIT %s;

-- The newest first, for the console.
-- name: latest
SELECT id, changed_at, changed_by, kind, old_row, new_row FROM row_changes
WHERE table_name = %s AND row_id = %s AND id < %s ORDER BY id DESC LIMIT %s;
