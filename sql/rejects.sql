-- name: insert
INSERT INTO rejects (source, origin, origin_key, table_name, position, record, errors)
VALUES (%s, %s, %s, %s, %s, %s, %s)
ON DUPLICATE KEY UPDATE position = VALUES(position);

-- name: page
SELECT id, rejected_at, source, origin, table_name, position, record, errors
FROM rejects
WHERE id > %s AND (%s IS NULL OR table_name = %s) AND (%s IS NULL OR source = %s)
ORDER BY id LIMIT %s;

-- For people: the newest first. A code as an object with it, which the list of errors has or not.
-- name: latest
SELECT id, rejected_at, source, origin, table_name, position, record, errors
FROM rejects
WHERE id < %s AND (%s IS NULL OR table_name = %s) AND (%s IS NULL OR source = %s)
    AND (%s IS NULL OR JSON_CONTAINS(errors, %s))
ORDER BY id DESC LIMIT %s;
