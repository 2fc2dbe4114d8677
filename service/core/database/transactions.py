"""The database: a pool, one transaction helper, and error numbers made into our errors."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from itertools import count
from typing import Any, TypeVar

import sql
from service.core.database.driver import Connection, Cursor
from service.core.database.error_numbers import translated_errors
from service.core.database.pool import Pool
from service.core.errors import (
    CommitUnknownError,
    ContentionError,
    ReadOnlyError,
    UnavailableError,
)

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
        with translated_errors():
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
        # The same deadline, but missing it in COMMIT is another error than missing it before.
        end = self._deadline.when()
        if end is not None and end <= asyncio.get_running_loop().time():
            raise TimeoutError
        self._deadline.reschedule(None)
        try:
            with translated_errors():
                async with asyncio.timeout_at(end):
                    await self._connection.commit()
        except UnavailableError as error:
            raise CommitUnknownError(UNKNOWN) from error

    async def _run(self, statement: str, parameters: Sequence[Any]) -> Any:
        with translated_errors():
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
        async with self.session(self._timeout) as session:
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
        async with self.session(timeout or self._timeout) as transaction:
            if repeatable:
                await transaction.execute(SQL["snapshot_isolation"])
            await transaction.begin()
            yield transaction
            await transaction.commit()

    @asynccontextmanager
    async def snapshot(self, timeout: float) -> AsyncIterator[Transaction]:
        """A read-only transaction that sees all tables as of now, whatever is written meanwhile."""
        async with self.session(timeout) as transaction:
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
    async def session(self, timeout: float) -> AsyncIterator[Transaction]:
        end = asyncio.get_running_loop().time() + timeout
        with translated_errors():
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
