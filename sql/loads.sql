-- The first statement of a block's transaction: another loader of the same block waits here.
-- name: claim
INSERT INTO loads (load_key, first_byte, next_byte, first_line, next_line, origin, origin_key)
VALUES (%s, %s, %s, %s, %s, %s, %s);

-- name: record
UPDATE loads SET received = %s, added = %s, changed = %s, unchanged = %s, skipped = %s,
    lowest_id = %s, highest_id = %s, ids = %s
WHERE load_key = %s AND first_byte = %s;

-- name: done
SELECT first_byte, next_byte, first_line, next_line, received, added, changed, unchanged, skipped,
    lowest_id, highest_id, ids
FROM loads WHERE load_key = %s ORDER BY first_byte;

-- name: done_block
SELECT first_byte, next_byte, first_line, next_line, received, added, changed, unchanged, skipped,
    lowest_id, highest_id, ids
FROM loads WHERE load_key = %s AND first_byte = %s;

-- Unfinished loads of a file of that name with another content.
-- name: superseded
SELECT load_key, MAX(next_line) FROM loads
WHERE origin = %s AND origin_key <> %s GROUP BY load_key;

-- name: forget_from
DELETE FROM loads WHERE load_key = %s AND first_byte >= %s;

-- name: forget
DELETE FROM loads WHERE load_key = %s;

-- name: rejects_between
SELECT position, record, errors, reason
FROM rejects LEFT JOIN reject_outcomes ON reject_id = id
WHERE origin_key = %s AND position >= %s AND position < %s ORDER BY position;

-- name: count_rejects
SELECT COUNT(*) FROM rejects WHERE origin_key = %s AND position >= %s AND position < %s;

-- name: forget_rejects
DELETE FROM rejects WHERE origin_key = %s AND position IN (%s);
