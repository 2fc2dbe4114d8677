"""Restoring tables from Avro: in one transaction, ids kept, no orphans, all or nothing."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing, suppress
from typing import Literal

from msgspec import Struct

from service.core.backups.format.avro import Reader
from service.core.backups.ids import IdSet
from service.core.backups.orphans import Orphans, Parents
from service.core.backups.sources import Source, reader_of
from service.core.backups.table_checksum import checksum_of
from service.core.backups.transaction_limits import TransactionLimits, refuse_too_large
from service.core.database.transactions import SQL, Database, Transaction
from service.core.errors import BackupError, DataError, DuplicateError, RowsRefused
from service.core.prefetch import prefetch
from service.core.rules.avro_records import validate
from service.core.rules.batch import Batch
from service.core.tables import Table
from service.core.threads import in_thread
from service.core.writes import merge
from service.core.writes.merge import Counts
from sql import CHUNK

Mode = Literal["replace", "merge"]

SECONDS = 6 * 3600
ATTEMPTS = 20
"""Hours are for a large file, not for trying a small one again and again."""
REPORTED = 100
"""Refused rows that are told one by one."""


class Restored(Struct):
    """What a restore did to a table, or would do.

    orphaned counts over all tables, and only a dry run gets to tell it. verified: the file is one
    of ours, and its rows and now the table's have the checksum that the database once computed.
    """

    table: str
    restored: int
    added: int = 0
    changed: int = 0
    removed: int = 0
    orphaned: int = 0
    verified: bool = False


class _DryRun(Exception):
    """Undoes what was only tried."""


async def restore(
    database: Database,
    sources: Sequence[Source],
    mode: Mode,
    *,
    dry_run: bool = False,
    limits: TransactionLimits | None = None,
) -> list[Restored]:
    """Make tables what files say, in one transaction; the tables parents first.

    replace removes rows that the file lacks, merge keeps them. BackupError for a file that is no
    backup of its table, RowsRefused for rows that break a rule, OrphansError where rows would
    lose a parent, TransactionTooLarge above `limits`: the tables are then as they were.
    """
    scanned = await in_thread(_scanned, sources)
    await refuse_too_large(database, scanned, mode, limits or TransactionLimits())
    results: list[list[Restored]] = []

    async def work(transaction: Transaction) -> list[Restored]:
        # First of all: the snapshot must show what an earlier restore has written.
        await transaction.execute(SQL["lock_restores"])
        own = await in_thread(readers, sources)
        results.append(await _Restore(transaction, mode, dry_run=dry_run).run(own))
        if dry_run:
            raise _DryRun
        return results[-1]

    try:
        return await database.run(work, SECONDS, repeatable=True, attempts=ATTEMPTS)
    except _DryRun:
        return results[-1]


def readers(sources: Sequence[Source]) -> list[Reader]:
    """Readers for one attempt, which share nothing with those of another."""
    return [reader_of(table, file) for table, file in sources]


def _scanned(sources: Sequence[Source]) -> list[Reader]:
    scanned = readers(sources)
    for reader in scanned:
        reader.scan()
    return scanned


class _Restore:
    """One attempt, inside its transaction."""

    def __init__(self, transaction: Transaction, mode: Mode, *, dry_run: bool):
        self._transaction, self._mode, self._dry_run = transaction, mode, dry_run
        self._orphans, self._parents = Orphans(), Parents(transaction)

    async def run(self, readers: Sequence[Reader]) -> list[Restored]:
        """Parents' rows before children's; their removals the other way round."""
        # What was empty has nothing to remove: then its rows need not be counted.
        filled = {reader.table for reader in readers if await self._has_rows(reader.table)}
        done = [await self._put_all_or_damaged(reader) for reader in readers]
        if self._mode == "replace":
            for reader, (result, ids) in reversed([*zip(readers, done, strict=True)]):
                if reader.table in filled:
                    result.removed = await self._remove_others(reader.table, ids)
        if not self._dry_run:
            self._orphans.refuse()
        results = [result for result, _ in done]
        for reader, result in zip(readers, results, strict=True):
            result.orphaned = self._orphans.count
            result.verified = not result.orphaned and await self._verify(reader)
        return results

    async def _has_rows(self, table: Table) -> bool:
        return bool(await self._transaction.fetch(table.sql["ids"], (0, 1)))

    async def _put_all_or_damaged(self, reader: Reader) -> tuple[Restored, IdSet]:
        try:
            return await self._put_all(reader)
        except RowsRefused:
            # A damaged file is the better reason.
            await in_thread(reader.read_and_check)
            raise

    async def _put_all(self, reader: Reader) -> tuple[Restored, IdSet]:
        counts, ids, position = Counts(), IdSet(), 0
        async with aclosing(_judged(reader)) as batches:
            async for judged in batches:
                _refuse(judged, position)
                ids.add(row[0] for row in judged.rows)
                await self._orphans.in_file(self._parents, judged)
                if self._dry_run or not self._orphans.count:
                    counts += await self._put(judged, position)
                position += judged.received
        reader.check()
        if (twice := ids.repeated()) is not None:
            raise BackupError(f"Id {twice} stands twice in this backup of {reader.table.path}.")
        return Restored(reader.table.path, len(ids), counts.added, counts.changed), ids

    async def _put(self, judged: Batch, position: int) -> Counts:
        judged.rejects = []
        if not judged.rows:
            return Counts()
        try:
            if await self._is_free(judged):
                with suppress(DataError):  # put() finds which rows the server refuses
                    await merge.insert(self._transaction, judged.table, judged.rows)
                    return Counts(added=len(judged.rows))
            counts = await merge.put(self._transaction, judged, "replace")
        except DuplicateError:
            # Others added rows with these ids since the snapshot: they are what is replaced.
            await merge.replace(self._transaction, judged.table, judged.rows)
            return Counts(changed=len(judged.rows))
        _refuse(judged, position)
        return counts

    async def _is_free(self, judged: Batch) -> bool:
        """Whether no row stands where these go."""
        ids = {row[0] for row in judged.rows}
        first = await self._transaction.fetch(judged.table.sql["nth"], (min(ids) - 1, 0))
        return len(ids) == len(judged.rows) and (not first or first[0][0] > max(ids))

    async def _remove_others(self, table: Table, keep: IdSet) -> int:
        ((count,),) = await self._transaction.fetch(table.sql["count"])
        if count == len(keep) and not self._orphans.count:
            return 0
        after, removed, before = 0, 0, self._orphans.count
        while page := await self._transaction.fetch(table.sql["ids"], (after, CHUNK)):
            after = page[-1][0]
            others = [key for (key,) in page if key not in keep]
            await self._orphans.left_by(self._transaction, table, others)
            # With orphans all is undone in the end; until then the rest is counted.
            if self._orphans.count == before:
                await merge.delete(self._transaction, table, others)
            removed += len(others)
        return removed

    async def _verify(self, reader: Reader) -> bool:
        if reader.origin is None or self._mode == "merge":
            return reader.origin is not None
        total = await checksum_of(self._transaction, reader.table)
        if (total.rows, str(total)) != (reader.origin.rows, reader.origin.checksum):
            raise BackupError(
                f"After the restore {reader.table.path} would have {total.rows} rows with checksum "
                f"{total}, not the backup's {reader.origin.rows} with {reader.origin.checksum}; "
                "nothing was changed."
            )
        return True


def _judged(reader: Reader) -> AsyncGenerator[Batch]:
    """Batches of a file: one is decoded and judged in a thread while another is written."""
    batches: Iterator[Batch] = (validate(reader.table, records) for records in reader)
    return prefetch(lambda: in_thread(next, batches, None))


def _refuse(judged: Batch, position: int) -> None:
    if judged.rejects:
        table, count = judged.table.path, len(judged.rejects)
        raise RowsRefused(
            f"{count} of the rows {position} to {position + judged.received - 1} of this backup of "
            f"{table} break a rule; nothing was restored.",
            [reject.clipped(position) for reject in judged.rejects[:REPORTED]],
            count=count,
        )
