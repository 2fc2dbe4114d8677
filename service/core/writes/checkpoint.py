"""The progress of work on a file: one record per block, written in the transaction of its rows."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import astuple

import sql
from service.core.database.statements import Transaction
from service.core.database.transactions import Database
from service.core.errors import DuplicateError, UnavailableError
from service.core.rules.batch import Row
from service.core.writes.merge import Counts

T = TypeVar("T")

SQL = sql.statements("loads")
ATTEMPTS = 8
RECONNECT_SECONDS = 0.5


@dataclass(frozen=True)
class Position:
    """A point between records: the bytes before it, and the number of the line after it."""

    byte: int = 0
    line: int = 1


class Done(Struct, frozen=True):
    """A block whose rows are in the database, and their outcome."""

    start: Position
    end: Position
    received: int
    counts: Counts
    lowest_id: int
    highest_id: int
    ids: int

    @property
    def rejected(self) -> int:
        """How many of its records were rejected."""
        accepted: int = sum(astuple(self.counts))
        return self.received - accepted


class Checkpoint:
    """The blocks of one piece of work that are in the database.

    key: of the work, 64 hexadecimal digits; origin: a name for it; origin_key: of its file.
    """

    def __init__(self, database: Database, key: str, origin: str, origin_key: str):
        self.database = database
        self._key, self._origin, self._origin_key = key, origin, origin_key

    async def recorded(self) -> list[Done]:
        """The records of all blocks, in their order."""
        return [_done(row) for row in await self.database.fetch(SQL["done"], (self._key,))]

    async def find(self, start: Position) -> Done | None:
        """The record of the block that starts here."""
        rows = await self.database.fetch(SQL["done_block"], (self._key, start.byte))
        return _done(rows[0]) if rows else None

    async def claim(self, transaction: Transaction, start: Position, end: Position) -> None:
        """Record a block as done, if the transaction commits; DuplicateError if it is recorded."""
        bounds = (start.byte, end.byte, start.line, end.line)
        row = (self._key, *bounds, self._origin, self._origin_key)
        await transaction.execute(SQL["claim"], row)

    async def record(
        self,
        transaction: Transaction,
        start: Position,
        received: int,
        counts: Counts,
        rows: Sequence[Row],
    ) -> None:
        """Record the outcome of a claimed block, and the ids of the rows now in the table."""
        ids = {row[0] for row in rows} or {0}
        stored = (min(ids), max(ids), len(ids) if rows else 0)
        outcome = (received, *astuple(counts), *stored)
        await transaction.execute(SQL["record"], (*outcome, self._key, start.byte))

    async def forget_from(self, start: Position) -> None:
        """Delete the records from this block on."""
        await self.delete("forget_from", (self._key, start.byte))

    async def forget(self) -> None:
        """Delete the records of work that is done."""
        await self.delete("forget", (self._key,))

    async def delete(self, name: str, parameters: tuple[object, ...]) -> None:
        """Delete records. It is idempotent."""
        await self.database.run(
            lambda transaction: transaction.execute(SQL[name], parameters), idempotent=True
        )


async def exactly_once(
    database: Database,
    write: Callable[[], Awaitable[T]],
    find: Callable[[], Awaitable[T | None]],
    reconnect_seconds: float,
) -> T:
    """Write a block that claims its checkpoint, even if others write it or the connection breaks.

    find: the outcome of the block, if it is recorded. reconnect_seconds: how long to wait for a
    lost database.
    """
    for attempt in range(ATTEMPTS):
        try:
            if attempt and (done := await find()) is not None:
                return done
            return await write()
        except (DuplicateError, UnavailableError) as error:
            if attempt == ATTEMPTS - 1:
                raise
            await wait_for_database(database, reconnect_seconds, error)
    raise AssertionError


async def wait_for_database(database: Database, seconds: float, error: Exception) -> None:
    """Wait until the database answers; raises `error` if it does not in time."""
    end = time.monotonic() + seconds
    while True:
        try:
            return await database.ping()
        except UnavailableError:
            if time.monotonic() > end:
                raise error from None
            await asyncio.sleep(RECONNECT_SECONDS)


def _done(row: Row) -> Done:
    first_byte, next_byte, first_line, next_line, received, *rest = row
    start, end = Position(first_byte, first_line), Position(next_byte, next_line)
    return Done(start, end, received, Counts(*rest[:4]), *rest[4:])
