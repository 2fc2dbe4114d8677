-- name: ping
SELECT 1;

-- Results do not depend on the defaults of the server, which an operator may change for a while,
-- for example to import data.
-- name: session
SET time_zone = '+00:00',
    sql_mode = 'STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO',
    foreign_key_checks = 1,
    unique_checks = 1,
    sql_select_limit = 9223372036854775807,
    innodb_lock_wait_timeout = 5,
    lock_wait_timeout = 5,
    group_concat_max_len = 67108864;

-- A transaction sees rows that others committed meanwhile, for example new parents.
-- name: isolation
SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED;

-- seekdb and OceanBase end a statement after 10 s by default (the values are microseconds). They
-- accept the lock wait limits of MySQL and ignore them; they have a separate one.
-- name: oceanbase_session
SET ob_query_timeout = 3600000000, ob_trx_timeout = 3600000000, ob_trx_lock_timeout = 5000000;

-- seekdb reserves a million ids at each start and loses them at its end, so that 2,000 restarts use
-- up all ids. Fewer are enough.
-- name: embedded
SET GLOBAL auto_increment_cache_size = 10000;

-- From 16 KB on, seekdb logs a transaction before it commits. If the server is killed then, the
-- locks of the transaction stay forever. This setting makes it log at COMMIT.
-- seekdb compacts with six threads of each kind. On two cores, one thread of each kind makes requests
-- a third faster (p90), and a load takes as long as before.
-- name: embedded_system
ALTER SYSTEM SET _private_buffer_size = '0B', compaction_high_thread_score = 1,
    compaction_mid_thread_score = 1, compaction_low_thread_score = 1;

-- name: embedded_is_set
SELECT COUNT(*) = 2 AND @@global.auto_increment_cache_size = 10000
FROM oceanbase.__all_virtual_sys_parameter_stat
WHERE (name, value) IN (('_private_buffer_size', '0B'), ('compaction_low_thread_score', '1'));

-- name: has_database
SELECT schema_name FROM information_schema.schemata WHERE schema_name = %s;

-- name: create_database
CREATE DATABASE IF NOT EXISTS `{name}`;

-- The step between generated ids, whether the server is read-only, and its version.
-- name: server
SELECT @@auto_increment_increment, @@read_only, VERSION();

-- name: id_step
SELECT @@auto_increment_increment;

-- name: snapshot_isolation
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ;

-- name: snapshot
START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY;

-- name: savepoint
SAVEPOINT before_rows;

-- name: rollback_to_savepoint
ROLLBACK TO SAVEPOINT before_rows;

-- name: create_migrations
CREATE TABLE IF NOT EXISTS schema_migrations (
    version INT NOT NULL,
    name VARCHAR(255) NOT NULL,
    applied_at DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
    PRIMARY KEY (version)
) DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- Row 0 is the lock: the process that locks it migrates.
-- name: seed_migrations
INSERT INTO schema_migrations (version, name) VALUES (0, 'lock')
ON DUPLICATE KEY UPDATE version = VALUES(version);

-- name: lock_migrations
SELECT version FROM schema_migrations WHERE version = 0 FOR UPDATE;

-- Row -1 is the lock of restores: they run one at a time. Each changes the row, so that OceanBase
-- and seekdb refuse it to a transaction whose snapshot is older than the last restore.
-- name: lock_restores
INSERT INTO schema_migrations (version, name) VALUES (-1, 'restore')
ON DUPLICATE KEY UPDATE applied_at = CURRENT_TIMESTAMP(6);

-- name: applied_migrations
SELECT version FROM schema_migrations WHERE version > 0;

-- name: record_migration
INSERT INTO schema_migrations (version, name) VALUES (%s, %s);
