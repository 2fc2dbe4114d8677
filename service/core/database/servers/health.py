"""The health of every server in the settings, as it is now."""

from __future__ import annotations

import asyncio

import msgspec
import pymysql
from msgspec import Struct

import sql
from service.core.database.connect import close_pool, open_pool
from service.core.database.replication.positions import Position, position_of, why_behind
from service.core.database.replication.replicas import Replicas
from service.core.database.servers.addresses import Address, format_address
from service.core.database.servers.writability import OUTSIDE, READ_ONLY
from service.core.database.transactions import Database
from service.core.errors import DatabaseError
from service.core.settings import Settings

SQL = sql.statements("doctor")
SECONDS = 1.0
"""A server that has not answered by then is said not to answer."""
CATCH_UP_SECONDS = 0.5
"""A replica that does not show the last rows by then is said to be behind."""
FAMILIES = ("seekdb", "OceanBase", "TiDB", "MariaDB")
"""Engines that name themselves in VERSION(); others are MySQL."""
READ_ONLY_TEXT = "read-only"


class ServerHealth(Struct, frozen=True):
    """A server, and what it does or why it does nothing. version: "" if it is not known."""

    name: str
    text: str
    good: bool
    version: str = ""

    @property
    def engine(self) -> str:
        """The name of its engine."""
        return engine_of(self.version) if self.version else ""


def engine_of(version: str) -> str:
    """The engine of a server, by what its VERSION() says."""
    return next((name for name in FAMILIES if name in version), "MySQL")


async def health_of_servers(settings: Settings, replicas: Replicas) -> list[ServerHealth]:
    """The servers of MYSQL_HOST, or the embedded one, then those of MYSQL_READ_HOST."""
    writer = replicas.writer
    position = await _position(writer) if replicas.replicas else None
    if settings.embedded:
        asked = [_used("embedded", writer)]
    elif not writer.several:
        asked = [_used(format_address(*settings.servers[0]), writer)]
    else:
        asked = [_one_of_several(settings, server, writer) for server in settings.servers]
    asked += [_replica(name, replica, position) for name, replica in replicas.named()]
    return await asyncio.gather(*asked)


async def _used(name: str, database: Database) -> ServerHealth:
    try:
        async with database.session(SECONDS, wait=False) as session:
            ((version,),) = await session.fetch(SQL["version"])
    except DatabaseError as problem:
        return ServerHealth(name, _reason(problem), good=False)
    return ServerHealth(name, "takes writes", good=True, version=version)


async def _one_of_several(settings: Settings, server: Address, writer: Database) -> ServerHealth:
    pool = open_pool(settings, [server])
    try:
        health = await _used(format_address(*server), Database(pool, SECONDS))
    finally:
        await close_pool(pool)
    current = writer.pool.servers.current
    if health.good and current and current.address == {"host": server[0], "port": server[1]}:
        return msgspec.structs.replace(health, text="takes writes, in use")
    # One of several servers may be read-only: it is used when it takes over.
    return msgspec.structs.replace(health, good=health.good or health.text == READ_ONLY_TEXT)


async def _replica(name: str, replica: Database, position: Position | None) -> ServerHealth:
    try:
        async with replica.session(SECONDS) as session:
            ((version,),) = await session.fetch(SQL["version"])
            behind = position and await why_behind(session.fetch, position, CATCH_UP_SECONDS)
    except DatabaseError as problem:
        return ServerHealth(name, _reason(problem), good=False)
    text = f"not used for reads: {behind}" if behind else "serves reads"
    return ServerHealth(name, text, good=not behind, version=version)


async def _position(writer: Database) -> Position | None:
    try:
        async with writer.session(SECONDS, wait=False) as session:
            return await position_of(session.fetch)
    except DatabaseError:
        return None


def _reason(problem: DatabaseError) -> str:
    reasons = {READ_ONLY: READ_ONLY_TEXT, OUTSIDE: "outside of the majority of its cluster"}
    return reasons.get(error_number(problem) or 0, f"does not answer within {SECONDS:g} s")


def error_number(problem: DatabaseError) -> int | None:
    """The error number of the server or of the client library."""
    cause = problem.__cause__
    return cause.args[0] if isinstance(cause, pymysql.MySQLError) and cause.args else None
