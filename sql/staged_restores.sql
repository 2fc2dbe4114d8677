-- A staged restore fills new tables and swaps them with the live ones. {name} and the other words in
-- braces stand for names of tables, columns and keys: SQL allows no parameters there.

-- name: definition
SHOW CREATE TABLE {name};

-- name: create
CREATE TABLE {name} LIKE {live};

-- Every INSERT of a program that does not know this column fails (error 1364). Readers name their
-- columns, so they do not notice it. It costs writers nothing, and is there on every node.
-- name: add_guard
ALTER TABLE {name} ADD COLUMN restore_in_progress INT NOT NULL;

-- name: remove_guard
ALTER TABLE {name} DROP COLUMN restore_in_progress;

-- name: guarded
SELECT table_name FROM information_schema.columns
WHERE table_schema = DATABASE() AND column_name = 'restore_in_progress';

-- What restores left: guards, staging tables and replaced tables, tables whose foreign keys have a
-- temporary name. The last column: whether a staging table has been idle for a day.
-- name: leftovers
SELECT 'guard', table_name, 0 FROM information_schema.columns
WHERE table_schema = DATABASE() AND column_name = 'restore_in_progress'
UNION ALL
SELECT DISTINCT 'key', table_name, 0 FROM information_schema.table_constraints
WHERE constraint_schema = DATABASE() AND constraint_type = 'FOREIGN KEY'
    AND constraint_name LIKE 'restore\_%' AND table_name NOT LIKE 'restore\_%'
UNION ALL
SELECT 'table', table_name, create_time < DATE_SUB(NOW(), INTERVAL 1 DAY) AND NOT EXISTS (
    SELECT 1 FROM loads
    WHERE origin = table_name AND saved_at > DATE_SUB(NOW(6), INTERVAL 1 DAY)
)
FROM information_schema.tables
WHERE table_schema = DATABASE()
    AND (table_name LIKE 'restore\_%' OR table_name LIKE 'replaced\_%');

-- The records of the chunks in a staging table.
-- name: forget
DELETE FROM loads WHERE origin = %s;

-- name: drop
DROP TABLE IF EXISTS {name};

-- name: add_key
ALTER TABLE {name} ADD CONSTRAINT `{key}` {reference};

-- name: drop_key
ALTER TABLE {name} DROP FOREIGN KEY `{key}`;

-- name: auto_increment
ALTER TABLE {name} AUTO_INCREMENT = {next};

-- name: references
SELECT table_name, referenced_table_name, constraint_schema = DATABASE()
FROM information_schema.referential_constraints WHERE unique_constraint_schema = DATABASE();

-- name: triggers
SELECT DISTINCT event_object_table FROM information_schema.triggers
WHERE event_object_schema = DATABASE();

-- A lock is waited for only shortly, because others queue behind it. Without the checks, a foreign
-- key is added without a copy of the table; the restore looks for orphans itself.
-- name: ddl_session
SET foreign_key_checks = 0, lock_wait_timeout = 1;

-- Parents that rows refer to and that do not exist. In a join of the tables themselves, seekdb would
-- trust the foreign key, and read no parents.
-- name: missing_parents
SELECT parent FROM (SELECT DISTINCT {field} AS parent FROM {name}) AS referred
LEFT JOIN {parents} ON {parents}.id = parent
WHERE parent IS NOT NULL AND {parents}.id IS NULL ORDER BY parent;

-- Waits for the transactions that have deleted some of these rows. The locks end with the statement.
-- name: wait_for_deletions
SELECT COUNT(*) FROM {name} FORCE INDEX (PRIMARY) WHERE id > {first} AND id <= {last} FOR UPDATE;

-- The rows of a range of ids that both tables have, and how many of them differ.
-- name: compare
SELECT COUNT(*), COALESCE(SUM({differs}), 0)
FROM {name} AS staged JOIN {live} AS live ON live.id = staged.id
WHERE staged.id > %s AND staged.id <= %s;

-- name: lock_unless_held
SELECT version FROM schema_migrations WHERE version = -1 FOR UPDATE NOWAIT;

-- Row -2 is the lease of the restore that runs on any node of Galera. It ends after 20 s, unless its
-- owner renews it. The assignments are made from left to right.
-- name: renew_lease
INSERT INTO schema_migrations (version, name) VALUES (-2, %s)
ON DUPLICATE KEY UPDATE
    name = IF(applied_at < DATE_SUB(NOW(6), INTERVAL 20 SECOND), VALUES(name), name),
    applied_at = IF(name = VALUES(name), NOW(6), applied_at);

-- name: lease_of_others
SELECT name FROM schema_migrations
WHERE version = -2 AND name <> %s AND applied_at > DATE_SUB(NOW(6), INTERVAL 20 SECOND);

-- name: end_lease
DELETE FROM schema_migrations WHERE version = -2 AND name = %s;
