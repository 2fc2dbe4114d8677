"""Connects to each server, and checks what belongs to the server and not to the tables."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import sql
from service.cli.doctor.findings import Finding, error
from service.core.database import embedded
from service.core.database.connect import close_pool, open_pool, reason
from service.core.database.pool import Pool
from service.core.database.replication.limits import Fetch
from service.core.database.servers.addresses import Address, format_address
from service.core.database.servers.failover import Servers
from service.core.database.servers.health import error_number
from service.core.database.servers.writability import OUTSIDE, READ_ONLY
from service.core.database.transactions import Database
from service.core.errors import DatabaseError
from service.core.settings import Settings

SQL = sql.statements("doctor")
SECONDS = 15
"""The time for all questions to a server."""
NO_LOGIN, NO_DATABASE, NO_RIGHT, NO_TLS = 1045, 1049, 1044, 2026
"""Error numbers of a refused connection."""


@dataclass(frozen=True)
class Reached:
    """A server that answers. name: for messages; writes: whether it takes writes."""

    name: str
    fetch: Fetch
    version: str
    variables: dict[str, str]
    writes: bool


class Unreached(Exception):
    """The server gives no connection; the finding says why."""

    def __init__(self, finding: Finding):
        self.finding = finding


@asynccontextmanager
async def reached_embedded(settings: Settings) -> AsyncIterator[Reached]:
    """The embedded server, which is started unless it runs; SettingsError, Unreached."""
    async with embedded.running(settings.embedded_dir) as server:
        pool = Pool(1, Servers([server.options]), db=settings.mysql_database)
        async with _asked(settings, pool, str(settings.embedded_dir), writes=True) as reached:
            yield reached


@asynccontextmanager
async def reached(settings: Settings, address: Address, *, reads: bool) -> AsyncIterator[Reached]:
    """A server of MYSQL_HOST, or, if `reads`, of MYSQL_READ_HOST; SettingsError, Unreached."""
    name = format_address(*address)
    if reads or not await _takes_writes(settings, address):
        pool = open_pool(settings, [address], read_only=True)
        async with _asked(settings, pool, name, writes=False) as server:
            yield server
    else:
        async with _asked(settings, open_pool(settings, [address]), name, writes=True) as server:
            yield server


async def _takes_writes(settings: Settings, address: Address) -> bool:
    """Whether the server takes writes; also true if it gives no connection for another reason."""
    pool = open_pool(settings, [address])
    try:
        await Database(pool, SECONDS).ping()
    except DatabaseError as problem:
        return error_number(problem) not in (READ_ONLY, OUTSIDE)
    finally:
        await close_pool(pool)
    return True


@asynccontextmanager
async def _asked(
    settings: Settings, pool: Pool, name: str, *, writes: bool
) -> AsyncIterator[Reached]:
    database = Database(pool, SECONDS)
    try:
        try:
            await database.ping()
        except DatabaseError as problem:
            raise Unreached(_refused(settings, name, problem)) from problem
        async with database.session(SECONDS) as session:
            ((version,),) = await session.fetch(SQL["version"])
            variables: dict[str, str] = dict(await session.fetch(SQL["variables"]))
            yield Reached(name, session.fetch, version, variables, writes)
    finally:
        await close_pool(pool)


def _refused(settings: Settings, name: str, problem: DatabaseError) -> Finding:
    """Why a server gives no connection, and what to do about it."""
    user, database = settings.mysql_user, settings.mysql_database
    number = error_number(problem)
    if settings.embedded and number == NO_DATABASE:
        return error("database", f"{name} has no database {database} yet.", "Run: hirebase migrate")
    remedies = {
        NO_LOGIN: "Check MYSQL_USER and MYSQL_PASSWORD. As an administrator: ALTER USER "
        f"'{user}'@'%' IDENTIFIED BY 'the password in MYSQL_PASSWORD'",
        NO_DATABASE: f"Check MYSQL_DATABASE. As an administrator: CREATE DATABASE `{database}`",
        NO_RIGHT: f"As an administrator: GRANT ALL ON `{database}`.* TO '{user}'@'%'",
        NO_TLS: "Check MYSQL_SSL_CA, and the name and the dates in the server's certificate.",
    }
    remedy = remedies.get(number or 0, "Check MYSQL_HOST and MYSQL_PORT, and that the server runs.")
    return error("database", f"{name} gives no connection: {reason(problem)}", remedy)
