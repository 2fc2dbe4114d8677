"""Transactions: begin, commit, roll back, retry, each with a deadline."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from itertools import count
from typing import Any, TypeVar

import sql
from service.core.database.driver import Connection, Cursor
from service.core.database.error_numbers import (
    TOO_LARGE,
    is_refused_by_hook,
    translated_errors,
)
from service.core.database.pool import Pool
from service.core.database.replication.limits import TransactionLimits, limits_of
from service.core.database.replication.positions import Position, position_of
from service.core.errors import (
    CommitUnknownError,
    ContentionError,
    DatabaseError,
    ReadOnlyError,
    TransactionTooLarge,
    UnavailableError,
)

T = TypeVar("T")
Row = tuple[Any, ...]

SQL = sql.statements("database")
MAX_BACKOFF_SECONDS = 1.0
ASK_SECONDS = 5
COMMIT_UNKNOWN = (
    "The database did not confirm the commit, so the rows may be written or not. With an "
    "Idempotency-Key, repeat the request unchanged; without one, look for the rows first."
)


class Transaction:
    """The statements of a transaction on one connection, with one deadline for all of them.

    position: of the server before the snapshot was taken, in a snapshot. sent: the bytes of the
    statements that change rows. size: the bytes that replication counts, if they are counted.
    """

    def __init__(self, connection: Connection, deadline: asyncio.Timeout):
        self._connection = connection
        self._deadline = deadline
        self.position = Position()
        self.sent = 0
        self.size = 0
        self.id_step = connection.id_step

    async def fetch(self, statement: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """Return all rows of a query."""
        cursor = await self._run(statement, parameters)
        return list(await cursor.fetchall())

    async def execute(self, statement: str, parameters: Sequence[Any] = ()) -> int:
        """Run a statement and return the number of affected rows."""
        cursor = await self._run(statement, parameters)
        self.sent += cursor.sent
        return int(cursor.rowcount)

    async def insert(self, statement: str, rows: Sequence[Row]) -> int:
        """Insert rows in one statement; returns the generated id of the first row, or 0."""
        with translated_errors():
            async with self._connection.cursor(Cursor) as cursor:
                await cursor.executemany(statement, rows)
                self.sent += cursor.sent
                return int(cursor.lastrowid or 0)

    async def begin(self) -> None:
        """Begin the transaction."""
        await self._connection.begin()

    async def rollback(self) -> None:
        """Roll back; if the server does not answer, the connection is closed."""
        await self._connection.roll_back()

    async def commit(self) -> None:
        """Commit; CommitUnknownError if the answer is lost or late."""
        # The deadline stays the same, but missing it during COMMIT is a different error.
        end = self._deadline.when()
        if end is not None and end <= asyncio.get_running_loop().time():
            raise TimeoutError
        self._deadline.reschedule(None)
        try:
            with translated_errors():
                async with asyncio.timeout_at(end):
                    await self._connection.commit()
        except UnavailableError as error:
            raise CommitUnknownError(COMMIT_UNKNOWN) from error
        except DatabaseError as error:
            if is_refused_by_hook(error) and await self._is_too_large():
                raise TransactionTooLarge(f"{TOO_LARGE}.") from error
            raise

    async def _is_too_large(self) -> bool:
        """Whether the size may be why Group Replication refused the COMMIT; it gives no reason."""
        with suppress(DatabaseError), translated_errors():
            async with asyncio.timeout(ASK_SECONDS):
                limit = (await limits_of(self, TransactionLimits())).bytes
            # Without a count: a row takes up to twice as much as its part of the statement.
            return limit is not None and (self.size or 2 * self.sent) > limit.value
        return False

    async def _run(self, statement: str, parameters: Sequence[Any]) -> Any:
        with translated_errors():
            async with self._connection.cursor(Cursor) as cursor:
                await cursor.execute(statement, tuple(parameters) or None)
                return cursor


class Database:
    """A pool of connections; every use of a connection has a deadline, in seconds.

    embedded: the server is seekdb. A kill -9 during a COMMIT of more than about 900 KB of log
    leaves it with locks that no transaction owns, so transactions should be small. limits: those
    in the settings.
    """

    def __init__(
        self,
        pool: Pool,
        timeout: float,
        *,
        embedded: bool = False,
        limits: TransactionLimits | None = None,
    ):
        self.pool = pool
        self.embedded = embedded
        self._limits = limits or TransactionLimits()
        self.retries = 0
        self._timeout = timeout
        self._snapshots: set[float] = set()

    @asynccontextmanager
    async def reserved(self) -> AsyncIterator[Database]:
        """The same database over a connection that nothing else can occupy."""
        pool = self.pool.sibling(1)
        try:
            yield Database(pool, self._timeout, embedded=self.embedded)
        finally:
            pool.terminate()
            await pool.wait_closed()

    async def fetch(self, statement: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """Return all rows of one query outside a transaction."""
        async with self.session(self._timeout) as session:
            return await session.fetch(statement, parameters)

    async def ping(self) -> None:
        """Make a round trip to the server; UnavailableError."""
        await self.fetch(SQL["ping"])

    async def limits(self) -> TransactionLimits:
        """The limits on one transaction: those in the settings, else those of the server."""
        return await limits_of(self, self._limits)

    @asynccontextmanager
    async def transaction(
        self, timeout: float | None = None, *, repeatable: bool = False
    ) -> AsyncIterator[Transaction]:
        """Begin; commit at the end, or roll back on any error.

        repeatable: reads do not see what other transactions commit meanwhile.
        """
        async with self.session(timeout or self._timeout) as transaction:
            if repeatable:
                await transaction.execute(SQL["snapshot_isolation"])
            await transaction.begin()
            yield transaction
            await transaction.commit()

    @asynccontextmanager
    async def snapshot(self, timeout: float) -> AsyncIterator[Transaction]:
        """A read-only transaction that sees the tables as they are now, despite later writes."""
        async with self.session(timeout) as transaction:
            # Read before the snapshot, so that the snapshot has everything up to the position.
            transaction.position = await position_of(transaction)
            await transaction.execute(SQL["snapshot_isolation"])
            await transaction.execute(SQL["snapshot"])
            # Some engines take the snapshot at the first read, so read something now.
            await transaction.fetch(SQL["applied_migrations"])
            taken = time.monotonic()
            self._snapshots.add(taken)
            try:
                yield transaction
                await transaction.rollback()
            finally:
                self._snapshots.discard(taken)

    def snapshot_age(self) -> float:
        """The age of the oldest open snapshot in seconds; 0 without one."""
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
        """Run `work` in a transaction, and repeat it after deadlocks and lock waits.

        All attempts share one deadline; `attempts` limits their number as well.
        """
        clock = asyncio.get_running_loop().time
        end = clock() + (timeout or self._timeout)
        for attempt in count() if attempts is None else range(attempts):
            try:
                async with self.transaction(end - clock(), repeatable=repeatable) as transaction:
                    return await work(transaction)
            except ContentionError:
                self.retries += 1
            pause = _backoff(attempt)
            if clock() + pause >= end:
                break
            await asyncio.sleep(pause)
        raise UnavailableError(
            "Other transactions locked the rows for too long. Try again shortly."
        )

    @asynccontextmanager
    async def session(self, timeout: float) -> AsyncIterator[Transaction]:
        """A connection without a transaction; each statement commits by itself."""
        end = asyncio.get_running_loop().time() + timeout
        with translated_errors():
            # Work with a long deadline does not wait longer for a connection than other work.
            async with asyncio.timeout(min(timeout, self._timeout)):
                connection = await self.pool.acquire()
            try:
                async with asyncio.timeout_at(end) as deadline:
                    yield Transaction(connection, deadline)
            except BaseException as error:
                await self._clean_up(connection, error)
                raise
            finally:
                self.pool.release(connection)

    async def _clean_up(self, connection: Connection, error: BaseException) -> None:
        """Roll back, or close the connection; the deadline of the work does not apply.

        After a cancellation or a missed deadline, it may be in the middle of a statement.
        """
        if isinstance(error, ReadOnlyError):
            # The idle connections lead to the same read-only server.
            self.pool.close_free()
        if isinstance(error, Exception) and not isinstance(error, OSError | UnavailableError):
            await connection.roll_back()
        else:
            connection.close()


def _backoff(attempt: int) -> float:
    return random.SystemRandom().uniform(0, min(0.02 * 2 ** min(attempt, 10), MAX_BACKOFF_SECONDS))
