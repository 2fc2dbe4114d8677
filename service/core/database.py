"""The database: a pool, one transaction helper, and error numbers made into our errors."""

from __future__ import annotations

import asyncio
import random
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Any, TypeVar

import pymysql

import sql
from service.core import embedded
from service.core.driver import Connection, Cursor, Pool
from service.core.errors import (
    CommitUnknownError,
    ContentionError,
    DatabaseError,
    DataError,
    DuplicateError,
    SettingsError,
    StaleParentError,
    UnavailableError,
)
from service.core.settings import Settings

T = TypeVar("T")
Row = tuple[Any, ...]

SQL = sql.statements("database")
ATTEMPTS = 8
AWAY = "The database cannot be reached. Try again shortly."

LOST = frozenset(
    {1040, 1053, 1077, 1079, 1080, 1152, 1158, 1159, 1160, 1161, 2003, 2006, 2013, 2014, 2055}
)
"""Error numbers after which the connection is gone or of no use."""

ERRORS: dict[int, type[DatabaseError]] = {
    1205: ContentionError,
    1213: ContentionError,
    1452: StaleParentError,
    1062: DuplicateError,
    1264: DataError,
    1292: DataError,
    1366: DataError,
    1406: DataError,
    1451: DataError,
    3819: DataError,
    4025: DataError,
} | dict.fromkeys(LOST, UnavailableError)


class Transaction:
    """A connection inside a transaction."""

    def __init__(self, connection: Connection, id_step: int):
        self._connection = connection
        self.id_step = id_step

    async def fetch(self, statement: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """All rows of a query."""
        cursor = await self._run(statement, parameters)
        return list(await cursor.fetchall())

    async def execute(self, statement: str, parameters: Sequence[Any] = ()) -> int:
        """Run a statement; the number of rows it touched."""
        return int((await self._run(statement, parameters)).rowcount)

    async def insert(self, statement: str, rows: Sequence[Row]) -> int:
        """Write rows in one statement; the id of the first, where ids were generated."""
        with translated():
            async with self._connection.cursor(Cursor) as cursor:
                await cursor.executemany(statement, rows)
                return int(cursor.lastrowid or 0)

    async def _run(self, statement: str, parameters: Sequence[Any]) -> Any:
        with translated():
            async with self._connection.cursor(Cursor) as cursor:
                await cursor.execute(statement, tuple(parameters) or None)
                return cursor


class Database:
    """A pool of connections with a deadline on everything done with them, in seconds."""

    def __init__(self, pool: Pool, timeout: float):
        self.pool = pool
        self._timeout = timeout

    async def fetch(self, statement: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """All rows of one query outside any transaction."""
        async with self._connection(self._timeout) as connection:
            return await Transaction(connection, connection.id_step).fetch(statement, parameters)

    async def ping(self) -> None:
        """A real round trip; UnavailableError."""
        await self.fetch(SQL["ping"])

    @asynccontextmanager
    async def transaction(self, timeout: float | None = None) -> AsyncIterator[Transaction]:
        """Begin; commit at the end, or roll back on any error."""
        async with self._connection(timeout or self._timeout) as connection:
            await connection.begin()
            yield Transaction(connection, connection.id_step)
            await _commit(connection)

    @asynccontextmanager
    async def snapshot(self, timeout: float) -> AsyncIterator[Transaction]:
        """A read-only transaction that sees all tables as of now, whatever is written meanwhile."""
        async with self._connection(timeout) as connection:
            transaction = Transaction(connection, connection.id_step)
            await transaction.execute(SQL["snapshot_isolation"])
            await transaction.execute(SQL["snapshot"])
            # Some engines take the snapshot at the first read, so there is one at once.
            await transaction.fetch(SQL["applied_migrations"])
            try:
                yield transaction
            finally:
                await connection.rollback()

    async def run(
        self, work: Callable[[Transaction], Awaitable[T]], timeout: float | None = None
    ) -> T:
        """Do `work` in a transaction, again and again after deadlocks and lock waits."""
        for attempt in range(ATTEMPTS):
            try:
                async with self.transaction(timeout) as transaction:
                    return await work(transaction)
            except ContentionError:
                await asyncio.sleep(_jitter(attempt))
        raise UnavailableError("The rows are locked by others for too long. Try again shortly.")

    @asynccontextmanager
    async def _connection(self, timeout: float) -> AsyncIterator[Connection]:
        with translated():
            async with asyncio.timeout(timeout):
                connection = await self.pool.acquire()
                try:
                    if not connection.prepared:
                        await _prepare(connection)
                    yield connection
                except BaseException as error:
                    await _give_up(connection, error)
                    raise
                finally:
                    self.pool.release(connection)


def _jitter(attempt: int) -> float:
    return random.SystemRandom().uniform(0, 0.02 * 2**attempt)


async def _commit(connection: Connection) -> None:
    try:
        with translated():
            await connection.commit()
    except UnavailableError as error:
        raise CommitUnknownError(
            "The connection broke while the rows were being committed: they may be written or "
            "not. Look, or send an Idempotency-Key and repeat."
        ) from error


async def _prepare(connection: Connection) -> None:
    transaction = Transaction(connection, 1)
    await transaction.execute(SQL["session"])
    await transaction.execute(SQL["isolation"])
    if "OceanBase" in connection.get_server_info():
        await transaction.execute(SQL["oceanbase_session"])
    connection.id_step = (await transaction.fetch(SQL["id_step"]))[0][0]
    connection.prepared = True


async def _give_up(connection: Connection, error: BaseException) -> None:
    """Leave the connection fit for the next user, or closed."""
    if isinstance(error, Exception) and not isinstance(error, OSError | UnavailableError):
        try:
            await connection.rollback()
            return
        except (pymysql.MySQLError, OSError, RuntimeError):
            pass
    connection.close()


@contextmanager
def translated() -> Iterator[None]:
    """Errors of the driver as errors of ours."""
    try:
        yield
    except TimeoutError as error:
        raise UnavailableError("The database did not answer in time. Try again shortly.") from error
    except (pymysql.InterfaceError, pymysql.InternalError) as error:
        # The driver's own complaints: the connection is closed, or what came in is no MySQL.
        raise UnavailableError(AWAY) from error
    except pymysql.MySQLError as error:
        raise _ours(error) from error


def _ours(error: pymysql.MySQLError) -> DatabaseError:
    number = error.args[0] if error.args else 0
    kind = ERRORS.get(number, DatabaseError)
    if kind is UnavailableError:
        return kind(AWAY)
    return kind(f"The database refused this (error {number}).")


@asynccontextmanager
async def connect(settings: Settings) -> AsyncIterator[Database]:
    """A database that answers, embedded or at MYSQL_HOST; waits for it up to MYSQL_WAIT seconds."""
    async with AsyncExitStack() as stack:
        if settings.embedded:
            options = await stack.enter_async_context(embedded.running(settings.embedded_dir))
            await _create_database(options, settings.mysql_database)
        else:
            options = _server(settings)
        async with open_pool(options, settings) as database:
            await _wait(database, settings)
            yield database


@asynccontextmanager
async def open_pool(options: dict[str, Any], settings: Settings) -> AsyncIterator[Database]:
    """A pool on the server that `options` name."""
    pool = Pool(settings.mysql_pool_size, db=settings.mysql_database, **options)
    try:
        yield Database(pool, settings.mysql_timeout)
    finally:
        pool.terminate()
        await pool.wait_closed()


def _server(settings: Settings) -> dict[str, Any]:
    return {
        "host": settings.mysql_host,
        "port": settings.mysql_port,
        "user": settings.mysql_user,
        "password": settings.mysql_password,
        "ssl": _tls(settings),
    }


def _tls(settings: Settings) -> ssl.SSLContext | None:
    if settings.mysql_ssl_ca is None:
        return None
    try:
        return ssl.create_default_context(cafile=str(settings.mysql_ssl_ca))
    except OSError as error:
        raise SettingsError(
            f"MYSQL_SSL_CA: {settings.mysql_ssl_ca} cannot be read: {error}"
        ) from error


async def _create_database(options: dict[str, Any], name: str) -> None:
    pool = Pool(1, **options)
    try:
        async with Database(pool, 30)._connection(30) as connection:
            # A database's name cannot be a parameter; the settings allow word characters only.
            await Transaction(connection, 1).execute(f"CREATE DATABASE IF NOT EXISTS `{name}`")
    finally:
        pool.terminate()
        await pool.wait_closed()


async def _wait(database: Database, settings: Settings) -> None:
    loop = asyncio.get_running_loop()
    end = loop.time() + settings.mysql_wait
    while True:
        try:
            return await database.ping()
        except UnavailableError as error:
            if loop.time() >= end:
                raise UnavailableError(_unreachable(settings, error)) from error
        except DatabaseError as error:
            raise SettingsError(
                f"MYSQL_USER, MYSQL_PASSWORD or MYSQL_DATABASE: the server says {error.__cause__}"
            ) from error
        await asyncio.sleep(0.5)


def _unreachable(settings: Settings, error: UnavailableError) -> str:
    why = str(error.__cause__) or "it took too long"
    return (
        f"No database answers at {settings.mysql_host}:{settings.mysql_port} "
        f"({why}). Check MYSQL_HOST and MYSQL_PORT, and that it is running."
    )
