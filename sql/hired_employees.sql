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

-- Queries in the order of ids name the index. Just after a load, the statistics of MySQL are wrong:
-- it would use the index of a foreign key and sort all rows.
-- name: page
SELECT id, name, `datetime`, department_id, job_id
FROM hired_employees FORCE INDEX (PRIMARY) WHERE id > %s ORDER BY id LIMIT %s;

-- name: count
SELECT COUNT(*) FROM hired_employees;

-- name: ids
SELECT id FROM hired_employees FORCE INDEX (PRIMARY) WHERE id > %s ORDER BY id LIMIT %s;

-- name: find
SELECT id, name, `datetime`, department_id, job_id FROM hired_employees WHERE id IN (%s);

-- Names the index, because `sql.locking` must lock the rows themselves, not entries of another index.
-- The second column is for a union with `constraints` of database.sql.
-- name: count_existing
SELECT COUNT(*), '' FROM hired_employees FORCE INDEX (PRIMARY) WHERE id IN (%s);

-- name: existing
SELECT id FROM hired_employees WHERE id IN (%s);

-- name: delete
DELETE FROM hired_employees WHERE id IN (%s);

-- name: count_by_department_id
SELECT COUNT(*) FROM hired_employees WHERE department_id IN (%s);

-- name: count_by_job_id
SELECT COUNT(*) FROM hired_employees WHERE job_id IN (%s);

-- The first rows that refer to these parents, for an error message.
-- name: orphans_by_department_id
SELECT id, department_id FROM hired_employees WHERE department_id IN (%s) ORDER BY id LIMIT 100;

-- name: orphans_by_job_id
SELECT id, job_id FROM hired_employees WHERE job_id IN (%s) ORDER BY id LIMIT 100;

-- The checksum of a range of ids. core/backups/format/checksum.py computes the same from a backup. The
-- first moment has its type, because the server would read a text again for each row.
-- name: checksum
SELECT COUNT(*), COALESCE(BIT_XOR(CRC32(CONCAT(id, '\t', name, '\t',
    TIMESTAMPDIFF(MICROSECOND, TIMESTAMP '1970-01-01 00:00:00', `datetime`), '\t',
    department_id, '\t', job_id)) * id), 0)
FROM hired_employees FORCE INDEX (PRIMARY) WHERE id > %s AND id <= %s;

-- name: nth
SELECT id FROM hired_employees FORCE INDEX (PRIMARY) WHERE id > %s ORDER BY id LIMIT 1 OFFSET %s;

-- A page of a backup: its count and its checksum, and as JSON the values of its rows as in Avro,
-- datetime in microseconds since 1970, each followed by a comma. GROUP_CONCAT takes a third of the time of JSON_ARRAYAGG.
-- name: backup_page
SELECT COUNT(*), COALESCE(BIT_XOR(CRC32(CONCAT(id, '\t', name, '\t',
    TIMESTAMPDIFF(MICROSECOND, TIMESTAMP '1970-01-01 00:00:00', `datetime`), '\t',
    department_id, '\t', job_id)) * id), 0),
    GROUP_CONCAT(id, ',', JSON_QUOTE(name), ',',
    TIMESTAMPDIFF(MICROSECOND, TIMESTAMP '1970-01-01 00:00:00', `datetime`), ',',
    department_id, ',', job_id, ','
    SEPARATOR '')
FROM hired_employees FORCE INDEX (PRIMARY) WHERE id > %s AND id <= %s;

-- name: count_between
SELECT COUNT(*) FROM hired_employees WHERE id BETWEEN %s AND %s;
