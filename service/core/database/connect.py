"""Connects to the database: the embedded one, or a server of MYSQL_HOST."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial

import sql
from service.core.database import embedded
from service.core.database.pool import Pool
from service.core.database.replication.limits import TransactionLimits
from service.core.database.servers import addresses
from service.core.database.servers.addresses import Address
from service.core.database.servers.failover import Servers
from service.core.database.statements import SQL
from service.core.database.transactions import Database
from service.core.errors import (
    DatabaseError,
    SettingsError,
    UnavailableError,
)
from service.core.settings import Settings

log = logging.getLogger("hirebase.database")

NO_GRANT = (
    "MYSQL_USER may not see whether a server belongs to the majority of its group, so a primary "
    "that has lost the others is still used. As an administrator: "
    "GRANT SELECT ON performance_schema.replication_group_members TO this user"
)


@asynccontextmanager
async def connect(settings: Settings) -> AsyncIterator[Database]:
    """Connect to the database and wait until it answers, for at most MYSQL_WAIT seconds.

    Raises UnavailableError, or SettingsError if the server refuses the connection.
    """
    async with AsyncExitStack() as stack:
        if settings.embedded:
            server = await stack.enter_async_context(embedded.running(settings.embedded_dir))
            await _prepare_embedded(server, settings)
            size, name = settings.mysql_pool_size, settings.mysql_database
            pool = Pool(size, Servers([server.options]), server.restart, db=name)
        else:
            pool = open_pool(settings, settings.servers)
        stack.push_async_callback(close_pool, pool)
        limits = TransactionLimits.configured(
            settings.mysql_max_transaction_rows, settings.mysql_max_transaction_bytes
        )
        database = Database(
            pool,
            settings.mysql_timeout,
            embedded=settings.embedded,
            several=not settings.embedded and len(settings.servers) > 1,
            limits=limits,
        )
        await _repeat_until_reachable(database.ping, settings)
        with suppress(UnavailableError):
            await _check_grant(database)
        yield database


def open_pool(settings: Settings, servers: Sequence[Address], *, read_only: bool = False) -> Pool:
    """A pool to servers of MYSQL_HOST, or, with read_only, of MYSQL_READ_HOST."""
    return Pool(
        settings.mysql_pool_size,
        Servers([{"host": host, "port": port} for host, port in servers]),
        db=settings.mysql_database,
        user=settings.mysql_user,
        password=settings.mysql_password,
        ssl=_tls(settings),
        read_only=read_only,
    )


async def close_pool(pool: Pool) -> None:
    """Close a pool, and end the probes of its servers."""
    pool.terminate()
    await pool.wait_closed()
    await pool.servers.close()


def _tls(settings: Settings) -> ssl.SSLContext | None:
    if settings.mysql_ssl_ca is None:
        return None
    try:
        return ssl.create_default_context(cafile=str(settings.mysql_ssl_ca))
    except OSError as error:  # an SSLError is one: the file has no certificate
        reason = getattr(error, "reason", None) or error.strerror
        raise SettingsError(
            f"MYSQL_SSL_CA: {settings.mysql_ssl_ca} cannot be read: {reason}"
        ) from error


async def _prepare_embedded(server: embedded.Server, settings: Settings) -> None:
    """Create the database and configure the server. It may end meanwhile, and is restarted."""
    pool = Pool(1, Servers([server.options]), server.restart)
    configure = partial(_configure_embedded, Database(pool, 30), settings.mysql_database)
    try:
        await _repeat_until_reachable(configure, settings)
    finally:
        await close_pool(pool)


async def _configure_embedded(database: Database, name: str) -> None:
    async with database.session(30) as session:
        # Skips what exists, because a restarted seekdb sometimes executes no DDL.
        if not await session.fetch(SQL["has_database"], (name,)):
            await session.execute(sql.with_name(SQL["create_database"], name))
        ((is_configured,),) = await session.fetch(SQL["embedded_is_set"])
        if not is_configured:
            await session.execute(SQL["embedded"])
            await session.execute(SQL["embedded_system"])


async def _repeat_until_reachable(work: Callable[[], Awaitable[None]], settings: Settings) -> None:
    """Call `work` until the database answers it, for at most MYSQL_WAIT seconds."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + settings.mysql_wait
    while True:
        try:
            return await work()
        except UnavailableError as error:
            if loop.time() >= deadline:
                raise UnavailableError(_explain(settings, error)) from error
        except DatabaseError as error:
            raise SettingsError(
                "MYSQL_USER, MYSQL_PASSWORD, MYSQL_DATABASE or MYSQL_SSL_CA: the database refuses "
                f"the connection: {reason(error)}. `hirebase doctor` says what to do"
            ) from error
        await asyncio.sleep(0.5)


async def _check_grant(database: Database) -> None:
    """Warn if the server is in a group whose members the login may not read."""
    if await database.fetch(SQL["group_name"]):
        try:
            await database.fetch(SQL["group_replication"])
        except UnavailableError:
            raise
        except DatabaseError:
            log.warning(NO_GRANT)


def _explain(settings: Settings, error: UnavailableError) -> str:
    if settings.embedded:
        folder = settings.embedded_dir
        return f"The embedded database in {folder} does not answer: {reason(error)}."
    names = ", ".join(addresses.format_address(*server) for server in settings.servers)
    return (
        f"No database answers at {names}: {reason(error)}. Check MYSQL_HOST and MYSQL_PORT, and "
        "check that the server runs."
    )


def reason(problem: DatabaseError) -> str:
    """What the server or the client library said, without the number."""
    cause = problem.__cause__
    return str(cause.args[-1]) if cause and cause.args else "it did not answer in time"
