-- name: insert
INSERT INTO rejects (source, origin, origin_key, table_name, position, record, errors)
VALUES (%s, %s, %s, %s, %s, %s, %s)
ON DUPLICATE KEY UPDATE position = VALUES(position);

-- name: insert_layout
INSERT INTO reject_layouts (origin_key, layout) VALUES (%s, %s)
ON DUPLICATE KEY UPDATE layout = VALUES(layout);

-- The last of the next rejects of a table, or of all: a page looks at no others, because most of them
-- may be closed, or of another file.
-- name: last_after
SELECT id FROM rejects WHERE id > %s AND (%s IS NULL OR table_name = %s)
ORDER BY id LIMIT 1 OFFSET %s;

-- name: last_before
SELECT id FROM rejects WHERE id < %s AND (%s IS NULL OR table_name = %s)
ORDER BY id DESC LIMIT 1 OFFSET %s;

-- Lists show the beginning of long records and errors. The server does not send the rest.
-- name: page
SELECT id, rejected_at, source, origin, table_name, position,
    LEFT(record, %s), LEFT(errors, %s), CHAR_LENGTH(record), JSON_LENGTH(errors),
    COALESCE(state, 'open'), closed_at, closed_by, reason, row_id
FROM rejects LEFT JOIN reject_outcomes ON reject_id = id
WHERE id > %s AND id <= %s AND (%s IS NULL OR table_name = %s) AND (%s IS NULL OR source = %s)
    AND (%s IS NULL OR COALESCE(state, 'open') = %s)
ORDER BY id LIMIT %s;

-- The newest first, for the console. The filter by code is an object that the errors must contain.
-- name: latest
SELECT id, rejected_at, source, origin, table_name, position,
    LEFT(record, %s), LEFT(errors, %s), CHAR_LENGTH(record), JSON_LENGTH(errors),
    COALESCE(state, 'open'), closed_at, closed_by, reason, row_id, layout
FROM rejects LEFT JOIN reject_outcomes ON reject_id = id
    LEFT JOIN reject_layouts ON reject_layouts.origin_key = rejects.origin_key
WHERE id < %s AND id >= %s AND (%s IS NULL OR table_name = %s) AND (%s IS NULL OR source = %s)
    AND (%s IS NULL OR origin = %s) AND (%s IS NULL OR COALESCE(state, 'open') = %s)
    AND (%s IS NULL OR JSON_CONTAINS(errors, %s))
ORDER BY id DESC LIMIT %s;

-- The open rejects of files with ids, for a file that is corrected and loaded.
-- name: of_files
SELECT id, rejects.origin_key, position, record, errors, layout
FROM rejects LEFT JOIN reject_outcomes ON reject_id = id
    LEFT JOIN reject_layouts ON reject_layouts.origin_key = rejects.origin_key
WHERE reject_id IS NULL AND source = 'loader' AND rejects.origin_key IS NOT NULL AND id > %s
    AND table_name = %s AND (%s IS NULL OR origin = %s) AND CHAR_LENGTH(record) <= %s
ORDER BY id LIMIT %s;

-- One reject without its two long texts, but with their lengths.
-- name: find
SELECT id, rejected_at, source, origin, table_name, position,
    CHAR_LENGTH(record), JSON_LENGTH(errors), CHAR_LENGTH(errors),
    COALESCE(state, 'open'), closed_at, closed_by, reason, row_id
FROM rejects LEFT JOIN reject_outcomes ON reject_id = id WHERE id = %s;

-- name: part_of_record
SELECT SUBSTRING(record, %s, %s) FROM rejects WHERE id = %s;

-- name: part_of_errors
SELECT SUBSTRING(errors, %s, %s) FROM rejects WHERE id = %s;

-- The rejects of an unfinished load are kept: when the load resumes, it reports them again.
-- name: purge
DELETE FROM rejects
WHERE rejected_at <= DATE_SUB(CURRENT_TIMESTAMP(6), INTERVAL %s DAY)
    AND (origin_key IS NULL OR origin_key NOT IN (SELECT origin_key FROM loads))
ORDER BY rejected_at LIMIT %s;

-- name: purge_layouts
DELETE FROM reject_layouts
WHERE origin_key NOT IN (SELECT origin_key FROM rejects WHERE origin_key IS NOT NULL)
    AND origin_key NOT IN (SELECT origin_key FROM loads);
