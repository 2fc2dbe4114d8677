"""Transactions: begin, commit, roll back, each with a deadline."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from service.core.database.driver import Connection
from service.core.database.error_numbers import translated_errors
from service.core.database.pool import Pool
from service.core.database.replication.limits import TransactionLimits, limits_of
from service.core.database.replication.positions import position_of
from service.core.database.retry import FAILOVER_SECONDS, repeat
from service.core.database.statements import SQL, Row, Transaction
from service.core.errors import NoConnectionError, ReadOnlyError, UnavailableError

T = TypeVar("T")

RECONNECT_SECONDS = 0.2
"""The time between two looks for a server that takes writes."""
SNAPSHOT_SECONDS = 6 * 3600
"""The deadline of backups and exports. A billion rows take less than an hour."""


class Database:
    """A pool of connections; every use of a connection has a deadline, in seconds.

    embedded: the server is seekdb. A kill -9 during a COMMIT of more than about 900 KB of log
    leaves it with locks that no transaction owns, so transactions should be small.
    several: there are several servers. If none takes writes, one of them may in a few seconds, so
    work waits for up to FAILOVER_SECONDS.
    limits: those in the settings.
    """

    def __init__(
        self,
        pool: Pool,
        timeout: float,
        *,
        embedded: bool = False,
        several: bool = False,
        limits: TransactionLimits | None = None,
    ):
        self.pool = pool
        self.embedded = embedded
        self.several = several
        self._limits = limits or TransactionLimits()
        self.retries = 0
        self._timeout = timeout
        self._snapshots: set[float] = set()

    @asynccontextmanager
    async def reserved(self) -> AsyncIterator[Database]:
        """The same database over a connection that nothing else can occupy."""
        pool = self.pool.sibling(1)
        try:
            yield Database(pool, self._timeout, embedded=self.embedded, several=self.several)
        finally:
            pool.terminate()
            await pool.wait_closed()

    async def fetch(self, statement: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """Return all rows of one query outside a transaction; it is repeated as in `run`."""

        async def read(seconds: float) -> list[Row]:
            async with self.session(seconds) as session:
                return await session.fetch(statement, parameters)

        return await repeat(read, self._timeout, on_retry=self._count_retry)

    async def ping(self) -> None:
        """Make a round trip to the server, without any retry; UnavailableError."""
        async with self.session(self._timeout, wait=False) as session:
            await session.fetch(SQL["ping"])

    async def limits(self) -> TransactionLimits:
        """The limits on one transaction: those in the settings, else those of the server."""
        return await limits_of(self.fetch, self._limits)

    @asynccontextmanager
    async def transaction(
        self, timeout: float | None = None, *, repeatable: bool = False
    ) -> AsyncIterator[Transaction]:
        """Begin; commit at the end, or roll back on any error.

        repeatable: reads do not see what other transactions commit meanwhile.
        """
        async with self.session(timeout or self._timeout, autocommit=False) as transaction:
            if repeatable:
                await transaction.execute(SQL["snapshot_isolation"])
            await transaction.begin()
            yield transaction
            await transaction.commit()

    @asynccontextmanager
    async def snapshot(self, timeout: float = SNAPSHOT_SECONDS) -> AsyncIterator[Transaction]:
        """A read-only transaction that sees the tables as they are now, despite later writes."""
        async with self.session(timeout) as transaction:
            # Read before the snapshot, so that the snapshot has everything up to the position.
            transaction.position = await position_of(transaction.fetch)
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
        idempotent: bool = False,
        attempts: int | None = None,
    ) -> T:
        """Run `work` in a transaction, and repeat it if the server rolled it back.

        That is after a deadlock or a lock wait, and if the server or its connection was lost before
        COMMIT. idempotent: repeat it after an unconfirmed COMMIT as well. All attempts share one
        deadline; `attempts` limits their number.
        """

        async def once(seconds: float) -> T:
            async with self.transaction(seconds, repeatable=repeatable) as transaction:
                return await work(transaction)

        return await repeat(
            once,
            timeout or self._timeout,
            attempts=attempts,
            idempotent=idempotent,
            on_retry=self._count_retry,
        )

    def _count_retry(self) -> None:
        self.retries += 1

    @asynccontextmanager
    async def session(
        self, timeout: float, *, wait: bool = True, autocommit: bool = True
    ) -> AsyncIterator[Transaction]:
        """A connection without a transaction; each statement commits by itself, or begins one.

        wait: if there are several servers, wait until one of them takes writes.
        """
        end = asyncio.get_running_loop().time() + timeout
        # Work with a long deadline does not wait longer for a connection than other work.
        failover = FAILOVER_SECONDS if wait and self.several else 0
        connection = self.pool.take_idle(autocommit=autocommit) or await self._connection(
            min(timeout, self._timeout), failover
        )
        with translated_errors():
            try:
                async with asyncio.timeout_at(end) as deadline:
                    await connection.autocommit(autocommit)
                    yield Transaction(connection, deadline)
            except BaseException as error:
                await self._clean_up(connection, error)
                raise
            finally:
                self.pool.release(connection)

    async def _connection(self, timeout: float, failover: float) -> Connection:
        """A connection for which the caller may have to wait; NoConnectionError.

        failover: how long to repeat if no server takes writes, in seconds.
        """
        try:
            with translated_errors():
                async with asyncio.timeout(timeout):
                    return await self._acquire(failover)
        except UnavailableError as error:
            raise NoConnectionError(str(error)) from error.__cause__

    async def _acquire(self, failover: float) -> Connection:
        clock = asyncio.get_running_loop().time
        end = clock() + failover
        while True:
            try:
                with translated_errors():
                    return await self.pool.acquire()
            except UnavailableError:
                if clock() >= end or self.pool.closing:
                    raise
            await asyncio.sleep(RECONNECT_SECONDS)

    async def _clean_up(self, connection: Connection, error: BaseException) -> None:
        """Roll back, or close the connection; the deadline of the work does not apply.

        After a cancellation or a missed deadline, it may be in the middle of a statement.
        """
        if isinstance(error, ReadOnlyError):
            # The idle connections lead to the same server.
            self.pool.close_free()
        if isinstance(error, Exception) and not isinstance(error, OSError | UnavailableError):
            await connection.roll_back()
        else:
            connection.close()
