"""Fills a staging table: chunks on several connections, each with its record in one transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from dataclasses import replace
from functools import partial

from service.core.backups.format.avro import Reader
from service.core.backups.restored import damage_first, refuse, repeated
from service.core.backups.staged.staging import Staging
from service.core.database.statements import Transaction
from service.core.errors import DataError, DuplicateError
from service.core.ordered import Ids, Job, in_order
from service.core.prefetch import prefetched
from service.core.rules.avro_records import validate
from service.core.rules.batch import Batch
from service.core.writes import merge
from service.core.writes.checkpoint import Position, exactly_once

WORKERS = 3
SECONDS = 300
RECONNECT_SECONDS = 60
NO_IDS = Ids(())
"""The ids of our files ascend. In other files, the primary key finds those that repeat."""

Chunk = tuple[int, Batch | int]
"""The position of its first row; its rows, or how many are in the table already."""


class Fill:
    """Writes the rows of a file into a staging table."""

    def __init__(self, staging: Staging, reader: Reader, rows_in_chunk: int, workers: int):
        self._reader = reader
        self._database, self._checkpoint = staging.database, staging.checkpoint
        self._stored = staging.stored
        self._rows_in_chunk, self._workers = rows_in_chunk, workers
        self._done: set[int] = set()

    async def run(self, count: Callable[[int], None]) -> None:
        """Write the chunks that are not recorded yet; count: called with the rows of each chunk.

        RowsRefused if a row breaks a rule, BackupError if the file is damaged.
        """
        self._done = {block.start.byte for block in await self._checkpoint.recorded()}
        async with (
            damage_first(self._reader),
            aclosing(in_order(self._jobs(), self._workers)) as written,
        ):
            async for rows in written:
                count(rows)
        self._reader.check()

    async def _jobs(self) -> AsyncGenerator[Job[int]]:
        async with aclosing(prefetched(self._chunks())) as chunks:
            async for position, chunk in chunks:
                yield Job(NO_IDS, partial(self._write, position, chunk))

    def _chunks(self) -> Iterator[Chunk]:
        position = 0
        for records in self._reader:
            for start in range(0, len(records), self._rows_in_chunk):
                part = records[start : start + self._rows_in_chunk]
                known = position in self._done
                yield position, len(part) if known else validate(self._reader.table, part)
                position += len(part)

    async def _write(self, position: int, chunk: Batch | int) -> int:
        if isinstance(chunk, int):
            return chunk
        refuse(chunk, position)
        return await exactly_once(
            self._database,
            lambda: self._database.run(
                lambda transaction: self._put(transaction, position, chunk), SECONDS
            ),
            lambda: self._find(position, chunk),
            RECONNECT_SECONDS,
        )

    async def _find(self, position: int, chunk: Batch) -> int | None:
        return chunk.received if await self._checkpoint.find(Position(position)) else None

    async def _put(self, transaction: Transaction, position: int, chunk: Batch) -> int:
        # Rows have no bytes: their numbers take the place of bytes and lines.
        end = position + chunk.received
        await self._checkpoint.claim(
            transaction, Position(position, position + 1), Position(end, end + 1)
        )
        try:
            await merge.insert(transaction, self._stored, chunk.rows)
        except DuplicateError as error:
            key = await self._repeated(transaction, chunk)
            raise repeated(self._reader.table, key) from error
        except DataError:
            await self._refused(transaction, position, chunk)
        return chunk.received

    async def _repeated(self, transaction: Transaction, chunk: Batch) -> int | str:
        """An id that is in the chunk twice, or in the table already."""
        ids = [row[0] for row in chunk.rows]
        stored = await merge.find(transaction, self._stored, ids)
        found = (key for key, count in Counter(ids).items() if count > 1 or key in stored)
        return min(found, default="?")

    async def _refused(self, transaction: Transaction, position: int, chunk: Batch) -> None:
        """Raise RowsRefused with the rows that the server refuses."""
        batch = replace(chunk, table=self._stored, rejects=[])
        await merge.put(transaction, batch, "replace")
        refuse(batch, position)
