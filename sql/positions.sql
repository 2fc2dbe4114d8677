-- What a server has executed. SHOW leaves out the variables that a server does not have.
-- name: variables
SHOW GLOBAL VARIABLES WHERE Variable_name IN
    ('hostname', 'port', 'version', 'wsrep_on', 'gtid_executed', 'gtid_current_pos');

-- name: galera
SHOW GLOBAL STATUS WHERE Variable_name IN ('wsrep_ready', 'wsrep_local_state_comment',
    'wsrep_cluster_state_uuid', 'wsrep_last_committed');

-- Only for MySQL with GTIDs.
-- name: wait_for_gtids
SELECT WAIT_FOR_EXECUTED_GTID_SET(%s, %s);

-- Only for MariaDB with GTIDs.
-- name: wait_for_mariadb_gtids
SELECT MASTER_GTID_WAIT(%s, %s);
