"""Statements on one connection: in a transaction, or each by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

import sql
from service.core.database.driver import Connection, Cursor
from service.core.database.error_numbers import (
    HOOK,
    TOO_LARGE,
    is_refused_by_hook,
    translated_errors,
)
from service.core.database.replication.limits import Fetch, TransactionLimits, limits_of
from service.core.database.replication.positions import Position
from service.core.errors import (
    CommitUnknownError,
    DatabaseError,
    DataError,
    ReadOnlyError,
    TransactionTooLarge,
    UnavailableError,
)
from sql import chunks

Row = tuple[Any, ...]

SQL = sql.statements("database")
ASK_SECONDS = 5
COMMIT_UNKNOWN = (
    "The database did not confirm the commit, so the rows may be written or not. With an "
    "Idempotency-Key, repeat the request unchanged; without one, look for the rows first."
)


async def fetch_among(fetch: Fetch, statement: str, ids: Iterable[Any], *before: Any) -> list[Row]:
    """The rows of a query with `IN (%s)` for any number of ids; before: the other parameters."""
    rows: list[Row] = []
    for some in chunks(sorted(ids)):
        rows += await fetch(sql.with_in_list(statement, len(some)), (*before, *some))
    return rows


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

    async def fetch(self, statement: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """Return all rows of a query."""
        cursor = await self._run(statement, parameters)
        return list(await cursor.fetchall())

    async def execute(self, statement: str, parameters: Sequence[Any] = ()) -> int:
        """Run a statement and return the number of affected rows."""
        cursor = await self._run(statement, parameters)
        self.sent += cursor.sent
        return int(cursor.rowcount)

    @property
    def trusts_locks(self) -> bool:
        """Whether rows whose parents are locked need no check of foreign keys."""
        return self._connection.trusts_locks

    async def insert(
        self, statement: str, rows: Sequence[Row], *, parents_locked: bool = False
    ) -> None:
        """Insert rows that have their ids, or whose ids do not matter.

        parents_locked: the transaction has locked all their parents (core/writes/parents.py).
        """
        if parents_locked:
            statement = sql.without_key_checks(statement)
        with translated_errors():
            cursor = self._connection.new_cursor()
            await cursor.executemany(statement, rows)
            self.sent += cursor.sent

    async def insert_new(
        self, statement: str, rows: Sequence[Row], *, parents_locked: bool = False
    ) -> range:
        """Insert rows in one statement and return their generated ids; see `insert`."""
        step = self._connection.id_step
        if parents_locked:
            statement = sql.without_key_checks(statement)
        try:
            with translated_errors():
                cursor = self._connection.new_cursor()
                first = await cursor.insert_new(statement, rows, step)
                self.sent += cursor.sent
        except DataError:
            if len(rows) == 1 or not await self._has_other_step(step):
                raise
            return await self.insert_new(statement, rows)
        return range(first, first + len(rows) * step, step)

    async def _has_other_step(self, step: int) -> bool:
        """Whether the step of ids is not `step`: Galera sets it to the size of the cluster."""
        ((self._connection.id_step,),) = await self.fetch(SQL["id_step"])
        return bool(self._connection.id_step != step)

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
        except ReadOnlyError:
            raise  # the server refused the COMMIT
        except UnavailableError as error:
            if is_refused_by_hook(error) and await self._is_too_large():
                raise TransactionTooLarge(TOO_LARGE.format(number=HOOK)) from error
            raise CommitUnknownError(COMMIT_UNKNOWN) from error

    async def _is_too_large(self) -> bool:
        """Whether the size may be why Group Replication refused the COMMIT; it gives no reason."""
        with suppress(DatabaseError), translated_errors():
            async with asyncio.timeout(ASK_SECONDS):
                limit = (await limits_of(self.fetch, TransactionLimits())).bytes
            # Without a count: a row takes up to twice as much as its part of the statement.
            return limit is not None and (self.size or 2 * self.sent) > limit.value
        return False

    async def _run(self, statement: str, parameters: Sequence[Any]) -> Cursor:
        with translated_errors():
            cursor = self._connection.new_cursor()
            await cursor.execute(statement, tuple(parameters) or None)
            return cursor
