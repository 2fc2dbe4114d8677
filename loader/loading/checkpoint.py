"""The progress of a load: one record per block, written in the transaction of its rows."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import astuple

import sql
from loader.reading.source import Source
from loader.reading.splitter import Block, Position
from service.core.database.statements import Transaction
from service.core.database.transactions import Database
from service.core.rules.batch import Row
from service.core.writes.merge import Counts

SQL = sql.statements("loads")


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
    """The progress of one file under one set of options; deleted when the load is done."""

    def __init__(self, database: Database, source: Source, fingerprint: str, options: str):
        self._database = database
        self._source = source
        self._fingerprint = fingerprint
        self._key = hashlib.sha256(f"{fingerprint} {options}".encode()).hexdigest()

    async def done(self) -> dict[int, Done]:
        """The blocks that are in the database, by their first byte.

        Forgets the first incomplete block and all blocks after it, which may replace its rows.
        """
        done: dict[int, Done] = {}
        for row in await self._database.fetch(SQL["done"], (self._key,)):
            block = _done(row)
            if not await self._is_complete(block):
                await self._execute("forget_from", (self._key, block.start.byte))
                break
            done[block.start.byte] = block
        return done

    async def find(self, block: Block) -> Done | None:
        """The record of a block."""
        rows = await self._database.fetch(SQL["done_block"], (self._key, block.start.byte))
        return _done(rows[0]) if rows else None

    async def claim(self, transaction: Transaction, block: Block) -> None:
        """Record a block as done, if the transaction commits; DuplicateError if it is recorded."""
        bounds = (block.start.byte, block.end.byte, block.start.line, block.end.line)
        row = (self._key, *bounds, self._source.origin, self._fingerprint)
        await transaction.execute(SQL["claim"], row)

    async def record(
        self, transaction: Transaction, block: Block, counts: Counts, rows: Sequence[Row]
    ) -> None:
        """Record the outcome of a claimed block, and the ids of the rows now in the table."""
        ids = {row[0] for row in rows} or {0}
        stored = (min(ids), max(ids), len(ids) if rows else 0)
        outcome = (len(block.records), *astuple(counts), *stored)
        await transaction.execute(SQL["record"], (*outcome, self._key, block.start.byte))

    async def superseded(self) -> int | None:
        """Forget unfinished loads of this file with other content.

        Returns the last line that they reached, or None without such a load.
        """
        stale = await self._database.fetch(
            SQL["superseded"], (self._source.origin, self._fingerprint)
        )
        for key, _ in stale:
            await self._execute("forget", (key,))
        return max((line for _, line in stale), default=None)

    async def forget(self) -> None:
        """Delete the progress of a load that is done."""
        await self._execute("forget", (self._key,))

    async def _is_complete(self, block: Done) -> bool:
        """Whether its rows are still in the table and its rejects in the log."""
        statement = self._source.table.sql["count_between"]
        ((rows,),) = await self._database.fetch(statement, (block.lowest_id, block.highest_id))
        lines = (self._fingerprint, block.start.line, block.end.line)
        ((rejects,),) = await self._database.fetch(SQL["count_rejects"], lines)
        return bool(rows >= block.ids and rejects == block.rejected)

    async def _execute(self, name: str, parameters: tuple[object, ...]) -> None:
        """Delete progress; it does no harm to do it twice."""
        await self._database.run(
            lambda transaction: transaction.execute(SQL[name], parameters), idempotent=True
        )


def _done(row: Row) -> Done:
    first_byte, next_byte, first_line, next_line, received, *rest = row
    start, end = Position(first_byte, first_line), Position(next_byte, next_line)
    return Done(start, end, received, Counts(*rest[:4]), *rest[4:])
