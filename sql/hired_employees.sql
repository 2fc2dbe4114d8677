-- name: insert
INSERT INTO hired_employees (name, `datetime`, department_id, job_id) VALUES (%s, %s, %s, %s);

-- name: insert_with_id
INSERT INTO hired_employees (id, name, `datetime`, department_id, job_id)
VALUES (%s, %s, %s, %s, %s);

-- name: replace
INSERT INTO hired_employees (id, name, `datetime`, department_id, job_id)
VALUES (%s, %s, %s, %s, %s)
ON DUPLICATE KEY UPDATE name = VALUES(name), `datetime` = VALUES(`datetime`),
    department_id = VALUES(department_id), job_id = VALUES(job_id);

-- Whatever walks the ids names the index: with the statistics of a table that has just been filled,
-- MySQL takes a foreign key's instead, and sorts all rows.
-- name: page
SELECT id, name, `datetime`, department_id, job_id
FROM hired_employees FORCE INDEX (PRIMARY) WHERE id > %s ORDER BY id LIMIT %s;

-- name: count
SELECT COUNT(*) FROM hired_employees;

-- name: ids
SELECT id FROM hired_employees FORCE INDEX (PRIMARY) WHERE id > %s ORDER BY id LIMIT %s;

-- name: find
SELECT id, name, `datetime`, department_id, job_id FROM hired_employees WHERE id IN (%s);

-- name: count_existing
SELECT COUNT(*) FROM hired_employees WHERE id IN (%s);

-- name: existing
SELECT id FROM hired_employees WHERE id IN (%s);

-- name: delete
DELETE FROM hired_employees WHERE id IN (%s);

-- name: count_by_department_id
SELECT COUNT(*) FROM hired_employees WHERE department_id IN (%s);

-- name: count_by_job_id
SELECT COUNT(*) FROM hired_employees WHERE job_id IN (%s);

-- The rows that refer to parents, for saying which they are.
-- name: orphans_by_department_id
SELECT id, department_id FROM hired_employees WHERE department_id IN (%s) ORDER BY id LIMIT 100;

-- name: orphans_by_job_id
SELECT id, job_id FROM hired_employees WHERE job_id IN (%s) ORDER BY id LIMIT 100;

-- The content checksum of a range of ids: core/backups/format/checksum.py computes the same from a backup.
-- name: checksum
SELECT COUNT(*), COALESCE(BIT_XOR(CRC32(CONCAT_WS('\t', id, name,
    TIMESTAMPDIFF(MICROSECOND, '1970-01-01', `datetime`), department_id, job_id)) * id), 0)
FROM hired_employees FORCE INDEX (PRIMARY) WHERE id > %s AND id <= %s;

-- name: nth
SELECT id FROM hired_employees FORCE INDEX (PRIMARY) WHERE id > %s ORDER BY id LIMIT 1 OFFSET %s;

-- One page of a backup, built by the server: its last id, and the rows as Avro has them
-- in JSON, datetime in microseconds since 1970 (GROUP_CONCAT takes a third of JSON_ARRAYAGG's time).
-- name: backup_page
SELECT MAX(id), GROUP_CONCAT(
    '{"id":', id, ',"name":', JSON_QUOTE(name),
    ',"datetime":', TIMESTAMPDIFF(MICROSECOND, '1970-01-01', `datetime`),
    ',"department_id":', department_id, ',"job_id":', job_id, '}')
FROM (
    SELECT id, name, `datetime`, department_id, job_id
    FROM hired_employees FORCE INDEX (PRIMARY) WHERE id > %s ORDER BY id LIMIT %s
) AS page;

-- name: count_between
SELECT COUNT(*) FROM hired_employees WHERE id BETWEEN %s AND %s;
