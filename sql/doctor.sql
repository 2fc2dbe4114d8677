-- What the command doctor asks a server. SHOW leaves out the variables that a server does not have.
-- name: variables
SHOW GLOBAL VARIABLES WHERE Variable_name IN ('sql_mode', 'max_allowed_packet', 'max_connections',
    'max_user_connections', 'innodb_flush_log_at_trx_commit', 'sync_binlog', 'log_bin');

-- name: session_mode
SELECT @@SESSION.sql_mode;

-- name: version
SELECT VERSION();

-- name: clock
SELECT UTC_TIMESTAMP(6);

-- Empty values: the connection is not encrypted. seekdb has none of them.
-- name: tls
SHOW SESSION STATUS WHERE Variable_name IN ('Ssl_version', 'Ssl_server_not_after');

-- With the privileges of the active roles.
-- name: grants
SHOW GRANTS;

-- name: login
SELECT CURRENT_USER();

-- name: charset
SELECT default_character_set_name
FROM information_schema.schemata
WHERE schema_name = DATABASE();

-- The engine of each table, and the collation of its texts.
-- name: tables
SELECT table_name, engine
FROM information_schema.tables
WHERE table_schema = DATABASE();

-- name: collations
SELECT DISTINCT table_name, collation_name
FROM information_schema.columns
WHERE table_schema = DATABASE() AND collation_name IS NOT NULL AND data_type <> 'json';
