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

-- The rejects of a file by its lines. The file is known by the beginning of its fingerprint.
-- name: of_file
SELECT id, position FROM rejects
WHERE origin_key = (SELECT MIN(origin_key) FROM rejects WHERE origin_key LIKE %s)
    AND table_name = %s AND position IN (%s);

-- name: locked_among
SELECT id FROM rejects WHERE id IN (%s) ORDER BY id FOR UPDATE;

-- name: closed_among
SELECT reject_id, row_id FROM reject_outcomes WHERE reject_id IN (%s);

-- name: at_lines
SELECT id, position FROM rejects WHERE origin_key = %s AND position IN (%s);

-- The open rejects of a file or a request that have an error, up to an id. The error is an object
-- that the errors must contain.
-- name: of_fault
SELECT id, record, errors, layout
FROM rejects LEFT JOIN reject_outcomes ON reject_id = id
    LEFT JOIN reject_layouts ON reject_layouts.origin_key = rejects.origin_key
WHERE reject_id IS NULL AND id > %s AND id <= %s
    AND table_name = %s AND source = %s AND origin = %s
    AND JSON_CONTAINS(errors, %s) AND CHAR_LENGTH(record) <= %s
ORDER BY id LIMIT %s;

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

-- The newest open rejects of a table, a source or an origin, and how many of them have each code.
-- It looks only at so many rejects, because closed ones and those of others have no limit.
-- name: count_by_code
SELECT CAST(JSON_EXTRACT(errors, '$[*].code') AS CHAR) AS codes, COUNT(*)
FROM (
    SELECT errors FROM rejects LEFT JOIN reject_outcomes ON reject_id = id
    WHERE id >= (SELECT MIN(id) FROM (SELECT id FROM rejects ORDER BY id DESC LIMIT %s) AS latest)
        AND reject_id IS NULL AND (%s IS NULL OR table_name = %s)
        AND (%s IS NULL OR source = %s) AND (%s IS NULL OR origin = %s)
    ORDER BY id DESC LIMIT %s
) AS newest
GROUP BY codes;
