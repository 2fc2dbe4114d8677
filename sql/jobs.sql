-- name: insert
INSERT INTO jobs (job) VALUES (%s);

-- name: insert_with_id
INSERT INTO jobs (id, job) VALUES (%s, %s);

-- name: replace
INSERT INTO jobs (id, job) VALUES (%s, %s) ON DUPLICATE KEY UPDATE job = VALUES(job);

-- name: page
SELECT id, job FROM jobs WHERE id > %s ORDER BY id LIMIT %s;

-- name: count
SELECT COUNT(*) FROM jobs;

-- name: ids
SELECT id FROM jobs WHERE id > %s ORDER BY id LIMIT %s;

-- name: find
SELECT id, job FROM jobs WHERE id IN (%s);

-- Names the index, because `sql.locking` must lock the rows themselves, not entries of another index.
-- The second column is for a union with `constraints` of database.sql.
-- name: count_existing
SELECT COUNT(*), '' FROM jobs FORCE INDEX (PRIMARY) WHERE id IN (%s);

-- name: existing
SELECT id FROM jobs WHERE id IN (%s);

-- name: delete
DELETE FROM jobs WHERE id IN (%s);

-- The checksum of a range of ids. core/backups/format/checksum.py computes the same from a backup.
-- name: checksum
SELECT COUNT(*), COALESCE(BIT_XOR(CRC32(CONCAT(id, '\t', job)) * id), 0)
FROM jobs WHERE id > %s AND id <= %s;

-- name: nth
SELECT id FROM jobs WHERE id > %s ORDER BY id LIMIT 1 OFFSET %s;

-- A page of a backup: its count and its checksum, and as JSON the values of its rows as in Avro,
-- each followed by a comma. GROUP_CONCAT takes a third of the time of JSON_ARRAYAGG.
-- name: backup_page
SELECT COUNT(*), COALESCE(BIT_XOR(CRC32(CONCAT(id, '\t', job)) * id), 0),
    GROUP_CONCAT(id, ',', JSON_QUOTE(job), ',' SEPARATOR '')
FROM jobs WHERE id > %s AND id <= %s;

-- name: count_between
SELECT COUNT(*) FROM jobs WHERE id BETWEEN %s AND %s;
