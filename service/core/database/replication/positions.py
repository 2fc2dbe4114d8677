"""Positions: the transactions that a server has executed, and whether another has them as well."""

from __future__ import annotations

import asyncio
from typing import Literal

from msgspec import Struct

import sql
from service.core.database.replication.limits import Fetch

SQL = sql.statements("replication")
POLL_SECONDS = 0.05
SHARED = ("TiDB", "OceanBase")
"""Engines whose servers all show what one of them has committed."""

WAITS = {"gtid": "wait_for_gtids", "mariadb": "wait_for_mariadb_gtids"}


class Position(Struct, frozen=True):
    """What a server had executed at a moment.

    server: `hostname:port`, as the server names itself, or "". kind: what `text` is. gtid: a set of
    GTIDs of MySQL; mariadb: GTIDs of MariaDB; galera: `cluster:number`; shared: "", because all
    servers of the engine show the same; "": "", because the server has no GTIDs.
    """

    server: str = ""
    kind: Literal["gtid", "mariadb", "galera", "shared", ""] = ""
    text: str = ""


async def position_of(fetch: Fetch) -> Position:
    """The position of a server."""
    found: dict[str, str] = dict(await fetch(SQL["positions"]))
    name = f"{found['hostname']}:{found['port']}" if found.get("hostname") else ""
    if any(name in found["version"] for name in SHARED):
        return Position(name, "shared")
    if found.get("wsrep_on") == "ON":
        return Position(name, "galera", _galera(dict(await fetch(SQL["galera_status"]))))
    if found.get("gtid_executed"):
        return Position(name, "gtid", found["gtid_executed"].replace("\n", ""))
    if found.get("gtid_current_pos"):
        return Position(name, "mariadb", found["gtid_current_pos"])
    return Position(name)


async def why_behind(fetch: Fetch, position: Position, seconds: float) -> str | None:
    """Why a server does not show everything up to a position within some seconds; None: it does."""
    if position.kind == "shared":
        return None
    if not position.kind:
        return "the server of MYSQL_HOST has no GTIDs (gtid_mode, log_bin)"
    if position.kind == "galera":
        return await _why_galera_behind(fetch, position, seconds)
    ((waited,),) = await fetch(SQL[WAITS[position.kind]], (position.text, seconds))
    return None if waited == 0 else f"it is more than {seconds} s behind"


async def _why_galera_behind(fetch: Fetch, position: Position, seconds: float) -> str | None:
    cluster, _, number = position.text.partition(":")
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while True:
        status: dict[str, str] = dict(await fetch(SQL["galera_status"]))
        if status["wsrep_ready"] != "ON" or status["wsrep_local_state_comment"] != "Synced":
            return f"its state is {status['wsrep_local_state_comment']}, not Synced"
        if status["wsrep_cluster_state_uuid"] != cluster:
            return "it belongs to another cluster"
        if int(status["wsrep_last_committed"]) >= int(number):
            return None
        if loop.time() >= end:
            return f"it is more than {seconds} s behind"
        await asyncio.sleep(POLL_SECONDS)


def _galera(status: dict[str, str]) -> str:
    return f"{status['wsrep_cluster_state_uuid']}:{status['wsrep_last_committed']}"
