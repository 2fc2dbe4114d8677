"""Restores tables from Avro: all rows or none, with their ids, no orphans."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing, suppress

from service.core.backups.format.avro import Reader
from service.core.backups.ids import IdSet
from service.core.backups.orphans import Orphans, ParentCache
from service.core.backups.preview import preview
from service.core.backups.restore_size import may_be_too_large, refuse_too_large
from service.core.backups.restored import (
    Mode,
    Restored,
    check_total,
    damage_first,
    refuse,
    repeated,
)
from service.core.backups.sources import Source, scanned
from service.core.backups.staged import choice
from service.core.backups.staged.leftovers import tidy
from service.core.backups.staged.restoration import StagedRestore
from service.core.backups.table_checksum import checksum_of
from service.core.database.replication.limits import TransactionLimits
from service.core.database.statements import SQL, Transaction
from service.core.database.transactions import Database
from service.core.errors import (
    DataError,
    DuplicateError,
    TransactionTooLarge,
)
from service.core.prefetch import prefetched
from service.core.progress import Progress, Step, silent
from service.core.rules.avro_records import validate
from service.core.rules.batch import Batch
from service.core.tables import Table
from service.core.threads import in_thread
from service.core.writes import merge
from service.core.writes.merge import Counts
from service.core.writes.transaction_size import TransactionSize
from sql import CHUNK

SECONDS = 6 * 3600
ATTEMPTS = 20
"""The deadline of hours is for a large file. It must not allow endless retries."""


async def restore(
    database: Database, sources: Sequence[Source], mode: Mode, progress: Progress = silent
) -> list[Restored]:
    """Write the rows of files into their tables, all or none. Sources: parents first.

    replace removes rows that are not in the file, merge keeps them. Large tables are staged, others
    are written in one transaction. BackupError if a file is not a backup of its table, RowsRefused
    if rows break a rule, OrphansError if rows would lose a parent, TransactionTooLarge if they need
    one transaction above the limits of the server, TableBusyError if a large table is in use: no
    table is changed then.
    """
    own, limits = await in_thread(scanned, sources), await database.limits()
    await tidy(database)  # a guard that a killed restore left would refuse the rows
    can_be_staged = mode == "replace" and await choice.can_be_staged(
        database, [reader.table for reader in own]
    )
    staged = StagedRestore(database, sources, own, limits, progress)
    if can_be_staged and await choice.is_large(database, own):
        return await staged.run()
    try:
        await refuse_too_large(database, own, mode, limits)
        if mode == "merge" and may_be_too_large(own, limits):
            await preview(database, sources, mode, progress)  # to refuse it before it writes
        return await _in_transaction(database, sources, mode, limits, progress)
    except TransactionTooLarge:
        if can_be_staged:
            return await staged.run()
        raise


async def _in_transaction(
    database: Database,
    sources: Sequence[Source],
    mode: Mode,
    limits: TransactionLimits,
    progress: Progress,
) -> list[Restored]:
    """Restore in one transaction; TransactionTooLarge above the limits of the server."""

    async def work(transaction: Transaction) -> list[Restored]:
        # The first statement: the snapshot must include what an earlier restore wrote.
        await transaction.execute(SQL["lock_restores"])
        again = await in_thread(scanned, sources)
        size = TransactionSize(transaction, limits)
        return await _Restore(transaction, mode, size, progress).run(again)

    return await database.run(work, SECONDS, repeatable=True, attempts=ATTEMPTS)


class _Restore:
    """One attempt in its transaction."""

    def __init__(
        self, transaction: Transaction, mode: Mode, size: TransactionSize, progress: Progress
    ):
        self._transaction, self._mode, self._size = transaction, mode, size
        self._progress = progress
        self._orphans, self._parents = Orphans(), ParentCache(transaction)

    async def run(self, readers: Sequence[Reader]) -> list[Restored]:
        """Write parents before children, remove children before parents."""
        # A table that was empty has no rows to remove.
        filled = {reader.table for reader in readers if await self._has_rows(reader.table)}
        done = [await self._put_all(reader) for reader in readers]
        if self._mode == "replace":
            for reader, (result, ids) in reversed([*zip(readers, done, strict=True)]):
                if reader.table in filled:
                    result.removed = await self._remove_others(reader.table, ids)
        self._size.check()
        self._orphans.refuse()
        results = [result for result, _ in done]
        for reader, result in zip(readers, results, strict=True):
            result.verified = await self._verify(reader)
        return results

    async def _has_rows(self, table: Table) -> bool:
        return bool(await self._transaction.fetch(table.sql["ids"], (0, 1)))

    async def _put_all(self, reader: Reader) -> tuple[Restored, IdSet]:
        async with damage_first(reader):
            return await self._put_batches(reader)

    async def _put_batches(self, reader: Reader) -> tuple[Restored, IdSet]:
        counts, ids, position = Counts(), IdSet(), 0
        step = f"restore {reader.table.path}"
        self._progress(Step(step, position, reader.rows))
        # One is decoded and validated while another is written.
        validated = (validate(reader.table, records) for records in reader)
        async with aclosing(prefetched(validated)) as batches:
            async for batch in batches:
                refuse(batch, position)
                ids.add(row[0] for row in batch.rows)
                await self._orphans.count_in(self._parents, batch)
                if not self._orphans.count:
                    counts += await self._put(batch, position)
                position += batch.received
                self._progress(Step(step, position, reader.rows))
        reader.check()
        if (duplicate := ids.duplicate()) is not None:
            raise repeated(reader.table, duplicate)
        return Restored(reader.table.path, len(ids), counts.added, counts.changed), ids

    async def _put(self, batch: Batch, position: int) -> Counts:
        try:
            if await self._is_free(batch):
                self._size.add(batch.table, batch.rows)
                with suppress(DataError):  # put() finds which rows the server refuses
                    await merge.insert(self._transaction, batch.table, batch.rows)
                    return Counts(added=len(batch.rows))
            counts = await merge.put(self._transaction, batch, "replace", self._size)
        except DuplicateError:
            # Others added rows with these ids after the snapshot. Replace them.
            self._size.add(batch.table, batch.rows, before=batch.rows)
            await merge.replace(self._transaction, batch.table, batch.rows)
            return Counts(changed=len(batch.rows))
        refuse(batch, position)
        return counts

    async def _is_free(self, batch: Batch) -> bool:
        """Whether the table has no row between the first and the last id of the batch."""
        ids = {row[0] for row in batch.rows}
        first = await self._transaction.fetch(batch.table.sql["nth"], (min(ids) - 1, 0))
        return len(ids) == len(batch.rows) and (not first or first[0][0] > max(ids))

    async def _remove_others(self, table: Table, keep: IdSet) -> int:
        ((count,),) = await self._transaction.fetch(table.sql["count"])
        if count == len(keep) and not self._orphans.count:
            return 0
        after, removed, before = 0, 0, self._orphans.count
        while page := await self._transaction.fetch(table.sql["ids"], (after, CHUNK)):
            after = page[-1][0]
            others = [key for (key,) in page if key not in keep]
            await self._orphans.count_children(self._transaction, table, others)
            # With orphans the transaction is rolled back; then only count the others.
            if self._orphans.count == before:
                await self._count_removed(table, others)
                await merge.delete(self._transaction, table, others)
            removed += len(others)
        return removed

    async def _count_removed(self, table: Table, ids: list[int]) -> None:
        """Add rows that are to be removed to the size of the transaction."""
        if self._size.is_limited:
            rows = await merge.find(self._transaction, table, ids)
            self._size.add(table, rows.values())

    async def _verify(self, reader: Reader) -> bool:
        if reader.total is None or self._mode == "merge":
            return reader.total is not None
        found = await checksum_of(self._transaction, reader.table)
        check_total(reader.table, found, reader.total)
        return True
