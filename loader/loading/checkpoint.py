"""How far the load of a file has come: a row for every block, in the transaction of its rows."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import astuple

import sql
from loader.reading.source import Source
from loader.reading.splitter import Block, Position
from service.core.database.transactions import Database, Transaction
from service.core.rules.batch import Row
from service.core.writes.merge import Counts

SQL = sql.statements("loads")


class Done(Struct, frozen=True):
    """A block whose rows are in the database, and what became of them."""

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
        return self.received - sum(astuple(self.counts))


class Checkpoint:
    """The progress of one file under one set of options; nothing is left of it once done."""

    def __init__(self, database: Database, source: Source, fingerprint: str, options: str):
        self._database = database
        self._source = source
        self._fingerprint = fingerprint
        self._key = hashlib.sha256(f"{fingerprint} {options}".encode()).hexdigest()

    async def done(self) -> dict[int, Done]:
        """The blocks that are in the database, by their first byte.

        An incomplete block is forgotten, and all after it: they may replace rows of it.
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
        """What is recorded of a block."""
        rows = await self._database.fetch(SQL["done_block"], (self._key, block.start.byte))
        return _done(rows[0]) if rows else None

    async def claim(self, transaction: Transaction, block: Block) -> None:
        """Record a block as done, if the transaction commits; DuplicateError if it is already."""
        places = (block.start.byte, block.end.byte, block.start.line, block.end.line)
        row = (self._key, *places, self._source.origin, self._fingerprint)
        await transaction.execute(SQL["claim"], row)

    async def settle(
        self, transaction: Transaction, block: Block, counts: Counts, rows: Sequence[Row]
    ) -> None:
        """Record what became of a claimed block, and which of its rows the table holds now."""
        ids = {row[0] for row in rows} or {0}
        told = (counts.added, counts.changed, counts.unchanged, counts.skipped)
        held = (min(ids), max(ids), len(ids) if rows else 0)
        parameters = (len(block.records), *told, *held, self._key, block.start.byte)
        await transaction.execute(SQL["settle"], parameters)

    async def superseded(self) -> int | None:
        """Forget loads of this file that were not finished when it had another content.

        The line that the last of them came to, None if there is none.
        """
        stale = await self._database.fetch(
            SQL["superseded"], (self._source.origin, self._fingerprint)
        )
        for key, _ in stale:
            await self._execute("forget", (key,))
        return max((line for _, line in stale), default=None)

    async def forget(self) -> None:
        """The load is done: what it brought is told by the table alone."""
        await self._execute("forget", (self._key,))

    async def _is_complete(self, block: Done) -> bool:
        """Whether its rows are still in the table and its rejects in the log."""
        statement = self._source.table.sql["count_between"]
        ((rows,),) = await self._database.fetch(statement, (block.lowest_id, block.highest_id))
        lines = (self._fingerprint, block.start.line, block.end.line)
        ((rejects,),) = await self._database.fetch(SQL["count_rejects"], lines)
        return bool(rows >= block.ids and rejects == block.rejected)

    async def _execute(self, name: str, parameters: tuple[object, ...]) -> None:
        await self._database.run(lambda transaction: transaction.execute(SQL[name], parameters))


def _done(row: Row) -> Done:
    first, after, line, after_line, received, added, changed, unchanged, skipped, *held = row
    counts = Counts(added, changed, unchanged, skipped)
    return Done(Position(first, line), Position(after, after_line), received, counts, *held)
