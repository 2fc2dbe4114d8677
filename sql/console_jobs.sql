-- Times are from the database's clock: the clocks of replicas may differ.

-- name: insert
INSERT INTO console_jobs
    (id, kind, title, user_name, role, options, word, preview, state, run, message, progress,
    result)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s);

-- The last column: whether the job is running but has had no heartbeat for too long.
-- name: find
SELECT id, kind, title, user_name, role, options, word, preview, state, run, message, progress,
    result, TIMESTAMPDIFF(MICROSECOND, '1970-01-01', started_at),
    state = 'running' AND heartbeat_at < DATE_SUB(CURRENT_TIMESTAMP(6), INTERVAL %s SECOND)
FROM console_jobs WHERE id = %s;

-- name: latest
SELECT id, kind, title, user_name, role, options, word, preview, state, run, message, progress,
    '{}', TIMESTAMPDIFF(MICROSECOND, '1970-01-01', started_at),
    state = 'running' AND heartbeat_at < DATE_SUB(CURRENT_TIMESTAMP(6), INTERVAL %s SECOND)
FROM console_jobs ORDER BY started_at DESC LIMIT %s;

-- The page of a running job shows this.
-- name: summary
SELECT state, message, progress,
    state = 'running' AND heartbeat_at < DATE_SUB(CURRENT_TIMESTAMP(6), INTERVAL %s SECOND)
FROM console_jobs WHERE id = %s;

-- Only if no other run has claimed the job since it was read: state and run are those read.
-- name: claim
UPDATE console_jobs SET state = 'running', run = %s, preview = %s, message = '', progress = '{}',
    result = '{}', started_at = CURRENT_TIMESTAMP(6), heartbeat_at = CURRENT_TIMESTAMP(6)
WHERE id = %s AND run = %s AND state = %s
    AND (state <> 'running' OR heartbeat_at < DATE_SUB(CURRENT_TIMESTAMP(6), INTERVAL %s SECOND));

-- name: heartbeat
UPDATE console_jobs SET message = %s, progress = %s, heartbeat_at = CURRENT_TIMESTAMP(6),
    beats = beats + 1
WHERE id = %s AND run = %s AND state = 'running';

-- name: finish
UPDATE console_jobs SET state = %s, message = %s, progress = %s, result = %s,
    heartbeat_at = CURRENT_TIMESTAMP(6), beats = beats + 1
WHERE id = %s AND run = %s AND state = 'running';

-- name: old
SELECT id FROM console_jobs
WHERE heartbeat_at < DATE_SUB(CURRENT_TIMESTAMP(6), INTERVAL %s SECOND);

-- Only if it is still old: another run may have claimed it.
-- name: forget
DELETE FROM console_jobs
WHERE id = %s AND heartbeat_at < DATE_SUB(CURRENT_TIMESTAMP(6), INTERVAL %s SECOND);

-- The origin of a checkpoint is the path of the upload. Deleted by the index, not by a scan: a
-- scan would wait for every load that is running.
-- name: checkpoints
SELECT DISTINCT origin FROM loads WHERE origin LIKE %s;

-- name: forget_checkpoints
DELETE FROM loads WHERE origin = %s;

-- name: existing
SELECT id FROM console_jobs WHERE id IN (%s);
