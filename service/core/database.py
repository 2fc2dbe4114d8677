"""The database: a pool, one transaction helper, and error numbers made into our errors."""

from __future__ import annotations

import asyncio
import random
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count
from typing import Any, TypeVar

import sql
from service.core import embedded, servers
from service.core.driver import Connection, Cursor, Pool
from service.core.errno import translated
from service.core.errors import (
    CommitUnknownError,
    ContentionError,
    DatabaseError,
    ReadOnlyError,
    SettingsError,
    UnavailableError,
)
from service.core.settings import Settings

T = TypeVar("T")
Row = tuple[Any, ...]

SQL = sql.statements("database")
LONGEST_PAUSE = 1.0
UNKNOWN = (
    "The database did not confirm that the rows are committed: they may be written or not. "
    "With an Idempotency-Key, repeat the request as it is; without one, look before you repeat it."
)


class Transaction:
    """A connection inside a transaction, and the deadline of what is done with it."""

    def __init__(self, connection: Connection, deadline: asyncio.Timeout):
        self._connection = connection
        self._deadline = deadline
        self.id_step = connection.id_step

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

    async def begin(self) -> None:
        """From here on, all or nothing."""
        await self._connection.begin()

    async def rollback(self) -> None:
        """Nothing of it; where the server does not answer, the connection is closed."""
        await self._connection.roll_back()

    async def commit(self) -> None:
        """All of it; CommitUnknownError where the answer does not come, or not in time."""
        # The same deadline, but as an error that is told apart from one of the work before.
        end = self._deadline.when()
        self._deadline.reschedule(None)
        try:
            with translated():
                async with asyncio.timeout_at(end):
                    await self._connection.commit()
        except UnavailableError as error:
            raise CommitUnknownError(UNKNOWN) from error

    async def _run(self, statement: str, parameters: Sequence[Any]) -> Any:
        with translated():
            async with self._connection.cursor(Cursor) as cursor:
                await cursor.execute(statement, tuple(parameters) or None)
                return cursor


class Database:
    """A pool of connections with a deadline on everything done with them, in seconds.

    embedded: it is seekdb, which a kill -9 in a COMMIT of more than about 900 KB of log leaves
    with locks that nobody holds: there, transactions had better be small.
    """

    def __init__(self, pool: Pool, timeout: float, *, embedded: bool = False):
        self.pool = pool
        self.embedded = embedded
        self.retries = 0
        self._timeout = timeout
        self._snapshots: set[float] = set()

    async def fetch(self, statement: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """All rows of one query outside any transaction."""
        async with self._session(self._timeout) as session:
            return await session.fetch(statement, parameters)

    async def ping(self) -> None:
        """A real round trip; UnavailableError."""
        await self.fetch(SQL["ping"])

    @asynccontextmanager
    async def transaction(
        self, timeout: float | None = None, *, repeatable: bool = False
    ) -> AsyncIterator[Transaction]:
        """Begin; commit at the end, or roll back on any error.

        repeatable: what others commit meanwhile is not seen.
        """
        async with self._session(timeout or self._timeout) as transaction:
            if repeatable:
                await transaction.execute(SQL["snapshot_isolation"])
            await transaction.begin()
            yield transaction
            await transaction.commit()

    @asynccontextmanager
    async def snapshot(self, timeout: float) -> AsyncIterator[Transaction]:
        """A read-only transaction that sees all tables as of now, whatever is written meanwhile."""
        async with self._session(timeout) as transaction:
            await transaction.execute(SQL["snapshot_isolation"])
            await transaction.execute(SQL["snapshot"])
            # Some engines take the snapshot at the first read, so there is one at once.
            await transaction.fetch(SQL["applied_migrations"])
            taken = time.monotonic()
            self._snapshots.add(taken)
            try:
                yield transaction
                await transaction.rollback()
            finally:
                self._snapshots.discard(taken)

    def snapshot_age(self) -> float:
        """Seconds since the oldest open snapshot was taken; 0 without one."""
        now = time.monotonic()
        return now - min(self._snapshots, default=now)

    async def run(
        self,
        work: Callable[[Transaction], Awaitable[T]],
        timeout: float | None = None,
        *,
        repeatable: bool = False,
        attempts: int | None = None,
    ) -> T:
        """Do `work` in a transaction, again and again after deadlocks and lock waits.

        The deadline is one for all attempts; there are as many as fit in, or `attempts`.
        """
        clock = asyncio.get_running_loop().time
        end = clock() + (timeout or self._timeout)
        for attempt in count() if attempts is None else range(attempts):
            try:
                left = end - clock()
                async with self.transaction(left, repeatable=repeatable) as transaction:
                    return await work(transaction)
            except ContentionError:
                self.retries += 1
            pause = _jitter(attempt)
            if clock() + pause >= end:
                break
            await asyncio.sleep(pause)
        raise UnavailableError("The rows are locked by others for too long. Try again shortly.")

    @asynccontextmanager
    async def _session(self, timeout: float) -> AsyncIterator[Transaction]:
        end = asyncio.get_running_loop().time() + timeout
        with translated():
            # However long the work may take: nobody waits longer than usual to begin.
            async with asyncio.timeout(min(timeout, self._timeout)):
                connection = await self.pool.acquire()
            try:
                async with asyncio.timeout_at(end) as deadline:
                    yield Transaction(connection, deadline)
            except BaseException as error:
                await self._give_up(connection, error)
                raise
            finally:
                self.pool.release(connection)

    async def _give_up(self, connection: Connection, error: BaseException) -> None:
        """Leave the connection fit for the next user, or closed; outside the deadline of the work.

        An end that came from outside, a cancellation or a deadline, may have left it in the middle
        of a statement.
        """
        if isinstance(error, ReadOnlyError):
            # What else is open to this server is of no use either.
            self.pool.close_free()
        if isinstance(error, Exception) and not isinstance(error, OSError | UnavailableError):
            await connection.roll_back()
        else:
            connection.close()


def _jitter(attempt: int) -> float:
    return random.SystemRandom().uniform(0, min(0.02 * 2 ** min(attempt, 10), LONGEST_PAUSE))


@asynccontextmanager
async def connect(settings: Settings) -> AsyncIterator[Database]:
    """A database that answers, embedded or at MYSQL_HOST; waits for it up to MYSQL_WAIT seconds."""
    async with AsyncExitStack() as stack:
        options: dict[str, Any] = {}
        if settings.embedded:
            server = await stack.enter_async_context(embedded.running(settings.embedded_dir))
            ways = [server.options]
            options = {"unreached": server.start_again}
            await _prepare_embedded(server, settings)
        else:
            ways = [{"host": host, "port": port} for host, port in settings.servers]
            options = {
                "user": settings.mysql_user,
                "password": settings.mysql_password,
                "ssl": _tls(settings),
            }
        pool = Pool(settings.mysql_pool_size, ways, db=settings.mysql_database, **options)
        stack.push_async_callback(_close, pool)
        database = Database(pool, settings.mysql_timeout, embedded=settings.embedded)
        await _wait(database, settings)
        yield database


async def _close(pool: Pool) -> None:
    pool.terminate()
    await pool.wait_closed()


def _tls(settings: Settings) -> ssl.SSLContext | None:
    if settings.mysql_ssl_ca is None:
        return None
    try:
        return ssl.create_default_context(cafile=str(settings.mysql_ssl_ca))
    except OSError as error:
        raise SettingsError(
            f"MYSQL_SSL_CA: {settings.mysql_ssl_ca} cannot be read: {error}"
        ) from error


async def _prepare_embedded(server: embedded.Server, settings: Settings) -> None:
    pool = Pool(1, [server.options], server.start_again)
    database, name = Database(pool, 30), settings.mysql_database
    try:
        await _wait(database, settings)
        async with database._session(30) as session:
            # Only what is missing: once in a while seekdb starts again and does no DDL at all.
            if not await session.fetch(SQL["has_database"], (name,)):
                await session.execute(sql.about(SQL["create_database"], name))
            ((is_set,),) = await session.fetch(SQL["embedded_is_set"])
            if not is_set:
                await session.execute(SQL["embedded"])
                await session.execute(SQL["embedded_system"])
    finally:
        await _close(pool)


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
                "MYSQL_USER, MYSQL_PASSWORD, MYSQL_DATABASE or MYSQL_SSL_CA: "
                f"the way to the database is closed: {error.__cause__}"
            ) from error
        await asyncio.sleep(0.5)


def _unreachable(settings: Settings, error: UnavailableError) -> str:
    why = str(error.__cause__) or "it took too long"
    if settings.embedded:
        return f"The embedded database in {settings.embedded_dir} does not answer ({why})."
    names = ", ".join(servers.written(*server) for server in settings.servers)
    return (
        f"No database answers at {names} "
        f"({why}). Check MYSQL_HOST and MYSQL_PORT, and that it is running."
    )
