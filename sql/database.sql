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

-- seekdb and OceanBase end a statement after 10 s by default, and a transaction after a day. The
-- values are microseconds; no deadline of ours is longer. They accept the lock wait limits of MySQL
-- and ignore them; they have a separate one.
-- name: oceanbase_session
SET ob_query_timeout = 86400000000, ob_trx_timeout = 86400000000, ob_trx_lock_timeout = 5000000;

-- A node of Galera applies the rows of other nodes a little later. With this setting, a transaction
-- first waits for all that was committed before it began, on any node. Without it, rows are refused
-- because of parents that exist, and a job that one replica started is unknown to another. Servers
-- without Galera ignore the setting.
-- name: mariadb_session
SET SESSION wsrep_sync_wait = 1;

-- name: mariadb_probe
SET SESSION wsrep_sync_wait = 0;

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

-- Whether this login may let rows in whose parents it has locked (core/writes/parents.py): the server
-- is MySQL, so its locks are those of InnoDB; it is in no group, so it is the only writer; and it
-- accepts the hint. Other servers answer with an error. The login must see triggers as well.
-- name: trusts_locks
SELECT /*+ SET_VAR(foreign_key_checks = OFF) */
    @@foreign_key_checks = 0
    AND VERSION() LIKE CONCAT(@@innodb_version, '%')
    AND NOT EXISTS (
        SELECT 1 FROM performance_schema.global_variables
        WHERE variable_name = 'group_replication_group_name' AND variable_value <> ''
    );

-- Whether information_schema shows the triggers of the database to this login. It shows none to a
-- login without the privilege. A privilege that comes from a role does not count.
-- name: sees_triggers
SELECT EXISTS (
    SELECT 1 FROM information_schema.user_privileges
    WHERE privilege_type = 'TRIGGER'
        AND grantee = CONCAT('\'', REPLACE(CURRENT_USER(), '@', '\'@\''), '\'')
    UNION ALL
    SELECT 1 FROM information_schema.schema_privileges
    WHERE privilege_type = 'TRIGGER' AND DATABASE() LIKE table_schema
        AND grantee = CONCAT('\'', REPLACE(CURRENT_USER(), '@', '\'@\''), '\'')
);

-- The tables that a table refers to, and its triggers, each after a zero: in a union with the queries
-- `count_existing` of its parents. The last query has no rows: it keeps others from changing the table
-- before the transaction ends.
-- name: constraints
SELECT 0, referenced_table_name FROM information_schema.referential_constraints
WHERE constraint_schema = DATABASE() AND table_name = %s
UNION ALL
SELECT 0, trigger_name FROM information_schema.triggers
WHERE event_object_schema = DATABASE() AND event_object_table = %s
UNION ALL
(SELECT 0, '' FROM {name} LIMIT 0);

-- name: id_step
SELECT @@auto_increment_increment;

-- Whether a node of MariaDB Galera can write.
-- name: galera
SELECT variable_name, variable_value
FROM information_schema.global_status
WHERE variable_name IN ('WSREP_READY', 'WSREP_CLUSTER_STATUS', 'WSREP_LOCAL_STATE_COMMENT')
UNION ALL
SELECT variable_name, variable_value
FROM information_schema.global_variables
WHERE variable_name IN ('WSREP_ON', 'WSREP_SST_METHOD');

-- name: group_name
SHOW GLOBAL VARIABLES WHERE Variable_name = 'group_replication_group_name' AND Value <> '';

-- Whether a server of MySQL is an ONLINE member of the majority of its group, or has no group. A
-- primary without the majority stays writable, and its COMMITs hang. A server outside of its group
-- is writable as well. The login needs SELECT on this table.
-- name: group_replication
SELECT CASE
    WHEN COUNT(*) = 0 THEN 1
    WHEN COALESCE((
        SELECT variable_value
        FROM performance_schema.global_variables
        WHERE variable_name = 'group_replication_group_name'
    ), '') = '' THEN 1
    ELSE SUM(member_id = @@server_uuid AND member_state = 'ONLINE') = 1
        AND SUM(member_state IN ('ONLINE', 'RECOVERING')) * 2 > COUNT(*)
END
FROM performance_schema.replication_group_members;

-- name: snapshot_isolation
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ;

-- name: snapshot
START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY;

-- name: last_id
SELECT COALESCE(MAX(id), 0) FROM {name};

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
-- and seekdb refuse it to a transaction whose snapshot is older than the last restore. It is there
-- before the first restore, because they do not show a row to FOR UPDATE before its COMMIT. A
-- restore that is running is not waited for.
-- name: seed_restores
INSERT INTO schema_migrations (version, name)
SELECT -1, 'restore' FROM DUAL
WHERE NOT EXISTS (SELECT 1 FROM schema_migrations WHERE version = -1)
ON DUPLICATE KEY UPDATE version = VALUES(version);

-- name: lock_restores
INSERT INTO schema_migrations (version, name) VALUES (-1, 'restore')
ON DUPLICATE KEY UPDATE applied_at = CURRENT_TIMESTAMP(6);

-- name: applied_migrations
SELECT version FROM schema_migrations WHERE version > 0;

-- On Galera, processes on two nodes may hold the lock at once, and apply the same migration.
-- name: record_migration
INSERT INTO schema_migrations (version, name) VALUES (%s, %s)
ON DUPLICATE KEY UPDATE name = VALUES(name);

-- name: galera_is_on
SHOW GLOBAL VARIABLES WHERE Variable_name = 'wsrep_on' AND Value = 'ON';

-- name: table_names
SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE();

-- name: count_rows
SELECT COUNT(*) FROM {name};
