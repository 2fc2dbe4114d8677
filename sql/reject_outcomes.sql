-- The reject that is about to be closed, and who closed it before.
-- name: locked
SELECT source, table_name FROM rejects WHERE id = %s FOR UPDATE;

-- name: find
SELECT state, closed_at, closed_by FROM reject_outcomes WHERE reject_id = %s;

-- The last reject whose correction made a row.
-- name: of_row
SELECT reject_id FROM reject_outcomes JOIN rejects ON id = reject_id
WHERE row_id = %s AND table_name = %s ORDER BY reject_id DESC LIMIT 1;

-- name: insert
INSERT INTO reject_outcomes (reject_id, state, closed_by, reason, row_id)
VALUES (%s, %s, %s, %s, %s);

-- The open rejects by table, source and day, and how many of them have each code. It reads all open
-- rejects.
-- name: summary
SELECT table_name, source, CAST(DATE(rejected_at) AS CHAR) AS day, COUNT(*),
    SUM(JSON_CONTAINS(errors, '{"code": "missing"}')) AS missing,
    SUM(JSON_CONTAINS(errors, '{"code": "unknown_field"}')) AS unknown_field,
    SUM(JSON_CONTAINS(errors, '{"code": "type"}')) AS type,
    SUM(JSON_CONTAINS(errors, '{"code": "blank"}')) AS blank,
    SUM(JSON_CONTAINS(errors, '{"code": "too_long"}')) AS too_long,
    SUM(JSON_CONTAINS(errors, '{"code": "out_of_range"}')) AS out_of_range,
    SUM(JSON_CONTAINS(errors, '{"code": "format"}')) AS format,
    SUM(JSON_CONTAINS(errors, '{"code": "control_character"}')) AS control_character,
    SUM(JSON_CONTAINS(errors, '{"code": "not_found"}')) AS not_found,
    SUM(JSON_CONTAINS(errors, '{"code": "duplicate"}')) AS duplicate,
    SUM(JSON_CONTAINS(errors, '{"code": "malformed"}')) AS malformed
FROM rejects LEFT JOIN reject_outcomes ON reject_id = id
WHERE reject_id IS NULL
GROUP BY table_name, source, day
ORDER BY day, table_name, source;
