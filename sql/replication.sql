-- What a server has executed. SHOW leaves out the variables that a server does not have.
-- name: positions
SHOW GLOBAL VARIABLES WHERE Variable_name IN
    ('hostname', 'port', 'version', 'wsrep_on', 'gtid_executed', 'gtid_current_pos');

-- name: galera_status
SHOW GLOBAL STATUS WHERE Variable_name IN ('wsrep_ready', 'wsrep_local_state_comment',
    'wsrep_cluster_state_uuid', 'wsrep_last_committed');

-- Only for MySQL with GTIDs.
-- name: wait_for_gtids
SELECT WAIT_FOR_EXECUTED_GTID_SET(%s, %s);

-- Only for MariaDB with GTIDs.
-- name: wait_for_mariadb_gtids
SELECT MASTER_GTID_WAIT(%s, %s);

-- The limits of Group Replication and Galera on a transaction, and what counts in it.
-- name: limits
SHOW GLOBAL VARIABLES WHERE Variable_name IN ('group_replication_group_name',
    'group_replication_transaction_size_limit', 'binlog_transaction_compression',
    'binlog_rows_query_log_events', 'wsrep_on', 'wsrep_max_ws_size', 'wsrep_max_ws_rows',
    'binlog_annotate_row_events');
