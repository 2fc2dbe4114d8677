"""Whether a server takes writes: it is not read-only, and it belongs to its cluster's majority."""

from __future__ import annotations

from typing import Any

import pymysql

import sql

READ_ONLY, OUTSIDE = 1290, 1047
"""Error numbers of servers: read-only, or not a ready member of the cluster."""
DENIED, NO_TABLE, LOST = 1142, 1146, 2013
BLOCKING_TRANSFERS = ("rsync", "mysqldump")
"""Methods of Galera that block writes on the node that sends its data to another."""

SQL = sql.statements("database")


async def check(cursor: Any, version: str, *, read_only: bool) -> None:
    """Raise OperationalError if the server takes no writes.

    version: what the server's VERSION() says, because each cluster is asked in its own way.
    """
    if read_only:
        raise pymysql.OperationalError(READ_ONLY, "the server is read-only")
    if "MariaDB" in version:
        await _check_galera(cursor)
    elif not any(name in version for name in ("OceanBase", "TiDB")):
        await _check_group(cursor)


async def trusts_locks(cursor: Any) -> bool:
    """Whether a lock on a parent is as good as the server's check of a foreign key."""
    try:
        for name in ("trusts_locks", "sees_triggers"):
            await cursor.execute(SQL[name])
            ((trusted,),) = await cursor.fetchall()
            if not trusted:
                return False
    except pymysql.MySQLError as error:
        if error.args[0] == LOST:
            raise
        return False  # the server has no such variable, table or hint
    return True


async def _check_galera(cursor: Any) -> None:
    await cursor.execute(SQL["galera"])
    node = dict(await cursor.fetchall())
    if node.get("WSREP_ON") != "ON":
        return
    state, cluster = node["WSREP_LOCAL_STATE_COMMENT"], node["WSREP_CLUSTER_STATUS"]
    if node["WSREP_READY"] != "ON" or cluster != "Primary":
        raise pymysql.OperationalError(OUTSIDE, f"the node is {state} and its part {cluster}")
    blocks = node["WSREP_SST_METHOD"] in BLOCKING_TRANSFERS
    if state != "Synced" and (blocks or not state.startswith("Donor")):
        raise pymysql.OperationalError(READ_ONLY, f"the node is {state}")


async def _check_group(cursor: Any) -> None:
    try:
        await cursor.execute(SQL["group_replication"])
    except pymysql.MySQLError as error:
        if error.args[0] in (DENIED, NO_TABLE):
            return  # The login may not read it, or the server has no such thing.
        raise
    ((is_member,),) = await cursor.fetchall()
    if not is_member:
        reason = "the server is not a member of the majority of its group"
        raise pymysql.OperationalError(OUTSIDE, reason)
