#!/usr/bin/env bash
# Forms the group of compose.cluster.yaml, or completes it. It can run again at any time:
#   - if the group lives, every node that is not in it joins;
#   - if it does not, the node with the most transactions starts it, and the others join.
# A group is started only when every node of NODES answers, because a node that is away may have
# transactions that no other node has.
set -euo pipefail

: "${WAIT_SECONDS:=300}"
export MYSQL_PWD=$MYSQL_ROOT_PASSWORD
read -ra nodes <<<"$NODES"
fails='(SELECT 1 UNION SELECT 2)' # as a value, which has one row

said=''
say() { [ "$*" = "$said" ] || printf 'group: %s\n' "$*"; said=$*; }
# quoted TEXT: an SQL string
quoted() { local text=${1//\\/\\\\}; printf "'%s'" "${text//\'/\\\'}"; }
# sql NODE: runs the statements of standard input, prints rows without names
sql() { mysql --host="$1" --user=root --connect-timeout=3 --batch --skip-column-names; }
# ask NODE QUERY: the reply, or nothing if the node does not answer
ask() { sql "$1" <<<"$2" 2>/dev/null || true; }

state() {
  local found
  found=$(ask "$1" "SELECT member_state FROM performance_schema.replication_group_members WHERE member_id = @@server_uuid; SELECT 'OFFLINE'")
  printf '%s' "${found%%$'\n'*}"
}

# lives_on NODE: whether the node is part of a group that has its majority
lives_on() {
  [ "$(ask "$1" "
    SELECT SUM(member_id = @@server_uuid AND member_state = 'ONLINE') = 1
      AND SUM(member_state IN ('ONLINE', 'RECOVERING')) * 2 > COUNT(*)
    FROM performance_schema.replication_group_members")" = 1 ]
}

# transactions NODE: the set that the node has, those included that it has still to apply. Fails if
# the node does not answer, because an empty set would mean that it has none.
transactions() {
  sql "$1" 2>/dev/null <<'SQL'
SELECT REPLACE(CONCAT_WS(',', NULLIF(@@GLOBAL.gtid_executed, ''), (
  SELECT NULLIF(received_transaction_set, '') FROM performance_schema.replication_connection_status
  WHERE channel_name = 'group_replication_applier')), '\n', '');
SQL
}

# most_transactions: the first node that has the transactions of all others
most_transactions() {
  local -A sets
  local node other
  for node in "${nodes[@]}"; do sets[$node]=$(transactions "$node") || return; done
  for node in "${nodes[@]}"; do
    for other in "${nodes[@]}"; do
      [ "$(ask "$node" "SELECT GTID_SUBSET('${sets[$other]}', '${sets[$node]}')")" = 1 ] || continue 2
    done
    printf '%s' "$node"
    return
  done
}

# forget_first_transactions NODE: the image makes root's account on each node by itself. A node that
# was never in the group must forget these transactions, which are not the group's.
forget_first_transactions() {
  [ "$(ask "$1" "SELECT LOCATE(@@group_replication_group_name, @@GLOBAL.gtid_executed)")" != 0 ] \
    || sql "$1" <<<"RESET BINARY LOGS AND GTIDS"
}

# start NODE ON|OFF: starts replication; ON makes the node the first one of the group. The first two
# queries fail, which ends the session, if another run of this script starts the node or has done so.
start() {
  say "$1 $([ "$2" = ON ] && echo starts the group || echo joins)"
  local reply
  reply=$(sql "$1" 2>&1 <<SQL
SELECT IF(GET_LOCK('form_group', 0), 1, $fails) INTO @locked;
SELECT IF(COUNT(*) = 0, 1, $fails) INTO @outside FROM performance_schema.replication_group_members
  WHERE member_state IN ('ONLINE', 'RECOVERING');
STOP GROUP_REPLICATION;
CHANGE REPLICATION SOURCE TO SOURCE_USER = 'replication',
  SOURCE_PASSWORD = $(quoted "$MYSQL_REPLICATION_PASSWORD") FOR CHANNEL 'group_replication_recovery';
SET GLOBAL group_replication_bootstrap_group = $2;
START GROUP_REPLICATION;
SET GLOBAL group_replication_bootstrap_group = OFF;
SET GLOBAL offline_mode = OFF;
SQL
  ) && return
  problem="$1 does not start replication: $reply"
  ask "$1" "SET GLOBAL group_replication_bootstrap_group = OFF"
}

# join NODE MEMBER: joins the group of a member, unless the node has transactions of its own
join() {
  if [ "$(ask "$2" "SELECT GTID_SUBSET('$(transactions "$1")', '$(transactions "$2")')")" = 1 ]; then
    start "$1" OFF
  else
    problem="$1 has transactions that the group lacks, so it cannot join. See docs/scaling.md"
  fi
}

# write_accounts NODE: the database and the accounts, on the primary, so that every node has them
write_accounts() {
  local primary password user
  primary=$(ask "$1" "SELECT member_host FROM performance_schema.replication_group_members WHERE member_role = 'PRIMARY'")
  user="$(quoted "$MYSQL_USER")@'%'" password=$(quoted "$MYSQL_PASSWORD")
  sql "$primary" <<SQL
CREATE USER IF NOT EXISTS replication@'%';
ALTER USER replication@'%' IDENTIFIED BY $(quoted "$MYSQL_REPLICATION_PASSWORD") REQUIRE SSL;
GRANT REPLICATION SLAVE, BACKUP_ADMIN, CONNECTION_ADMIN, GROUP_REPLICATION_STREAM ON *.* TO replication@'%';
CREATE DATABASE IF NOT EXISTS \`$MYSQL_DATABASE\`;
CREATE USER IF NOT EXISTS $user IDENTIFIED BY $password;
ALTER USER $user IDENTIFIED BY $password;
GRANT ALL ON \`${MYSQL_DATABASE//_/\\_}\`.* TO $user;
GRANT SELECT ON performance_schema.replication_group_members TO $user;
SQL
}

# step: one look at all nodes and what follows from it; succeeds when every node is part of the group
step() {
  local node alive='' missing='' recovering='' out=()
  for node in "${nodes[@]}"; do
    case $(state "$node") in
      '') missing+=" $node" ;;
      ONLINE) if lives_on "$node"; then alive=${alive:-$node}; fi ;;
      RECOVERING) recovering+=" $node" ;;
      *) out+=("$node"); forget_first_transactions "$node" ;;
    esac
  done
  if [ "$alive" ]; then
    if [ ! "$accounts" ]; then write_accounts "$alive" && accounts=written || return 1; fi
    # A node that still copies rows is in the group already. It can take long.
    problem="not in the group:$missing ${out[*]}"
    for node in "${out[@]}"; do join "$node" "$alive"; done
    [ "${#out[@]}" = 0 ] && [ ! "$missing" ]
  elif [ "$missing$recovering" ] || [ "${#out[@]}" -lt "${#nodes[@]}" ]; then
    problem="there is no group. Without an answer:${missing:- none}. Joining:${recovering:- none}. Start every node, or leave one out (-e NODES=…, see docs/scaling.md)"
    return 1
  else
    node=$(most_transactions)
    problem="no node has the transactions of all others. Compare @@gtid_executed of the nodes"
    [ "$node" ] && start "$node" ON
    return 1
  fi
}

accounts='' problem=''
until step; do
  [ "$SECONDS" -lt "$WAIT_SECONDS" ] || { say "after $WAIT_SECONDS s: $problem"; exit 1; }
  sleep 1
done
say "${nodes[*]} are in the group"
