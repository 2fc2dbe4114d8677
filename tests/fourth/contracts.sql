-- name: insert
INSERT INTO contracts (
    title, note, employee_id, job_id, signed_at, ended_at, balance, grade, salary, bonus,
    remote, insured, starts_on, ends_on
) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s);

-- name: insert_with_id
INSERT INTO contracts (
    id, title, note, employee_id, job_id, signed_at, ended_at, balance, grade, salary,
    bonus, remote, insured, starts_on, ends_on
) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s);

-- name: replace
INSERT INTO contracts (
    id, title, note, employee_id, job_id, signed_at, ended_at, balance, grade, salary,
    bonus, remote, insured, starts_on, ends_on
) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
ON DUPLICATE KEY UPDATE
    title = VALUES(title), note = VALUES(note), employee_id = VALUES(employee_id), job_id =
    VALUES(job_id), signed_at = VALUES(signed_at), ended_at = VALUES(ended_at), balance =
    VALUES(balance), grade = VALUES(grade), salary = VALUES(salary), bonus = VALUES(bonus),
    remote = VALUES(remote), insured = VALUES(insured), starts_on = VALUES(starts_on),
    ends_on = VALUES(ends_on);

-- name: page
SELECT
    id, title, note, employee_id, job_id, signed_at, ended_at, balance, grade, salary,
    bonus, remote, insured, starts_on, ends_on
FROM contracts FORCE INDEX (PRIMARY) WHERE id > %s ORDER BY id LIMIT %s;

-- name: count
SELECT COUNT(*) FROM contracts;

-- name: ids
SELECT id FROM contracts FORCE INDEX (PRIMARY) WHERE id > %s ORDER BY id LIMIT %s;

-- name: find
SELECT
    id, title, note, employee_id, job_id, signed_at, ended_at, balance, grade, salary,
    bonus, remote, insured, starts_on, ends_on
FROM contracts WHERE id IN (%s);

-- name: count_existing
SELECT COUNT(*), '' FROM contracts FORCE INDEX (PRIMARY) WHERE id IN (%s);

-- name: existing
SELECT id FROM contracts WHERE id IN (%s);

-- name: delete
DELETE FROM contracts WHERE id IN (%s);

-- name: count_by_employee_id
SELECT COUNT(*) FROM contracts WHERE employee_id IN (%s);

-- name: count_by_job_id
SELECT COUNT(*) FROM contracts WHERE job_id IN (%s);

-- name: orphans_by_employee_id
SELECT id, employee_id FROM contracts WHERE employee_id IN (%s) ORDER BY id LIMIT 100;

-- name: orphans_by_job_id
SELECT id, job_id FROM contracts WHERE job_id IN (%s) ORDER BY id LIMIT 100;

-- name: checksum
SELECT COUNT(*), COALESCE(BIT_XOR(CRC32(CONCAT_WS('\t', id, title, IFNULL(note, ''),
    employee_id, IFNULL(job_id, ''),
    TIMESTAMPDIFF(MICROSECOND, TIMESTAMP '1970-01-01 00:00:00', signed_at),
    IFNULL(TIMESTAMPDIFF(MICROSECOND, TIMESTAMP '1970-01-01 00:00:00', ended_at), ''),
    balance, IFNULL(grade, ''), salary, IFNULL(bonus, ''), remote, IFNULL(insured, ''),
    starts_on, IFNULL(ends_on, ''))) * id), 0)
FROM contracts FORCE INDEX (PRIMARY) WHERE id > %s AND id <= %s;

-- name: nth
SELECT id FROM contracts FORCE INDEX (PRIMARY) WHERE id > %s ORDER BY id LIMIT 1 OFFSET %s;

-- name: backup_page
SELECT COUNT(*), COALESCE(BIT_XOR(CRC32(CONCAT_WS('\t', id, title, IFNULL(note, ''),
    employee_id, IFNULL(job_id, ''),
    TIMESTAMPDIFF(MICROSECOND, TIMESTAMP '1970-01-01 00:00:00', signed_at),
    IFNULL(TIMESTAMPDIFF(MICROSECOND, TIMESTAMP '1970-01-01 00:00:00', ended_at), ''),
    balance, IFNULL(grade, ''), salary, IFNULL(bonus, ''), remote, IFNULL(insured, ''),
    starts_on, IFNULL(ends_on, ''))) * id), 0), GROUP_CONCAT(
    id, ',', JSON_QUOTE(title), ',', IFNULL(JSON_QUOTE(note), 'null'), ',',
    employee_id, ',', IFNULL(job_id, 'null'), ',',
    TIMESTAMPDIFF(MICROSECOND, TIMESTAMP '1970-01-01 00:00:00', signed_at), ',',
    IFNULL(TIMESTAMPDIFF(MICROSECOND, TIMESTAMP '1970-01-01 00:00:00', ended_at), 'null'), ',',
    balance, ',', IFNULL(grade, 'null'), ',',
    '"', salary, '",', IFNULL(CONCAT('"', bonus, '"'), 'null'), ',',
    IF(remote, 'true', 'false'), ',',
    IF(insured IS NULL, 'null', IF(insured, 'true', 'false')), ',',
    DATEDIFF(starts_on, DATE '1970-01-01'), ',', IFNULL(DATEDIFF(ends_on, DATE '1970-01-01'), 'null'), ','
    SEPARATOR '')
FROM contracts FORCE INDEX (PRIMARY) WHERE id > %s AND id <= %s;

-- name: count_between
SELECT COUNT(*) FROM contracts WHERE id BETWEEN %s AND %s;
