"""Dry runs of restores: they only read, and find what a restore would do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing

from service.core.backups.format.avro import Reader
from service.core.backups.format.checksum import Checksum
from service.core.backups.ids import IdSet
from service.core.backups.orphans import Orphans, ParentCache
from service.core.backups.restore_size import refuse_too_large
from service.core.backups.restored import Mode, Restored, damage_first, refuse, repeated
from service.core.backups.sources import Source, scanned
from service.core.backups.staged import choice
from service.core.database.replication.limits import TransactionLimits
from service.core.database.statements import Transaction
from service.core.database.transactions import Database
from service.core.prefetch import prefetched
from service.core.progress import Progress, Step, silent
from service.core.rules.avro_records import validate
from service.core.rules.batch import Batch, Row
from service.core.tables import Table, children
from service.core.threads import in_thread
from service.core.writes import merge
from service.core.writes.merge import Counts
from service.core.writes.transaction_size import PlannedSize
from sql import CHUNK

SPARSE = 10
"""With more ids for each row of a block, looking up rows is faster than reading their range."""

Ids = dict[str, IdSet]
"""The ids in the file of a table, by its name."""


async def preview(
    database: Database, sources: Sequence[Source], mode: Mode, progress: Progress = silent
) -> list[Restored]:
    """What a restore of these files would do now; nothing is written. Sources: parents first.

    The errors are those of the restore, but orphans are only counted.
    """
    own, limits = await in_thread(scanned, sources), await database.limits()
    if mode == "replace" and await choice.can_be_staged(database, [one.table for one in own]):
        limits = TransactionLimits()
    await refuse_too_large(database, own, mode, limits)
    async with database.snapshot() as snapshot:
        size = PlannedSize(snapshot, limits)
        return await _Preview(snapshot, mode, own, size, progress).run()


class _Preview:
    """A dry run in its snapshot."""

    def __init__(
        self,
        snapshot: Transaction,
        mode: Mode,
        own: Sequence[Reader],
        size: PlannedSize,
        progress: Progress,
    ):
        self._snapshot, self._mode, self._readers = snapshot, mode, own
        self._size, self._progress = size, progress
        self._ids: Ids = {}
        self._orphans = Orphans()
        self._parents = _ParentsAfterwards(snapshot, mode, self._ids)

    async def run(self) -> list[Restored]:
        """The result for each table."""
        results = [await self._compare_table(reader) for reader in self._readers]
        for reader, result in zip(self._readers, results, strict=True):
            if result.removed:
                await self._count_children(reader.table)
        for reader, result in zip(self._readers, results, strict=True):
            result.orphaned = self._orphans.count
            result.verified = reader.origin is not None and not result.orphaned
        return results

    async def _compare_table(self, reader: Reader) -> Restored:
        table, ids = reader.table, IdSet()
        ((stored,),) = await self._snapshot.fetch(table.sql["count"])
        async with damage_first(reader):
            counts = await self._compare_batches(reader, ids, stored)
        if (duplicate := ids.duplicate()) is not None:
            raise repeated(table, duplicate)
        self._ids[table.name] = ids
        removed = stored - counts.unchanged - counts.changed if self._mode == "replace" else 0
        return Restored(table.path, reader.rows, counts.added, counts.changed, removed)

    async def _compare_batches(self, reader: Reader, ids: IdSet, stored: int) -> Counts:
        keeps_ids = not reader.ascending or bool(children(reader.table))
        counts, position, step = Counts(), 0, f"compare {reader.table.path}"
        self._progress(Step(step, 0, reader.rows))
        async with aclosing(prefetched(_validated(reader))) as batches:
            async for batch, checksum in batches:
                refuse(batch, position)
                if keeps_ids:
                    ids.add(row[0] for row in batch.rows)
                await self._orphans.count_in(self._parents, batch)
                own = checksum if reader.ascending else None
                counts += await self._compare(batch, own) if stored else self._added(batch)
                position += batch.received
                self._progress(Step(step, position, reader.rows))
        reader.check()
        return counts

    async def _compare(self, batch: Batch, checksum: Checksum | None) -> Counts:
        """Compare a batch with the table; checksum: of a batch whose ids ascend."""
        ids = [row[0] for row in batch.rows]
        if checksum and ids[-1] - ids[0] < SPARSE * len(ids):
            return await self._compare_range(batch, ids, checksum)
        return self._decided(batch, await merge.find_among(self._snapshot, batch.table, ids))

    async def _compare_range(self, batch: Batch, ids: Sequence[int], checksum: Checksum) -> Counts:
        """Compare a batch with the rows from its first id to its last one."""
        statements, first = batch.table.sql, ids[0] - 1
        ((rows, value),) = await self._snapshot.fetch(statements["checksum"], (first, ids[-1]))
        if not rows:
            return self._added(batch)
        if Checksum(int(rows), int(value)) == checksum:
            return Counts(unchanged=batch.received)
        if rows > 2 * batch.received:
            return self._decided(batch, await merge.find(self._snapshot, batch.table, ids))
        stored = await self._snapshot.fetch(statements["page"], (first, int(rows)))
        return self._decided(batch, {row[0]: row for row in stored})

    def _decided(self, batch: Batch, old: Mapping[int, Row]) -> Counts:
        decision = merge.decide(batch.rows, old, "replace")
        merge.add_to(self._size, batch.table, decision, old)
        return decision.counts

    def _added(self, batch: Batch) -> Counts:
        self._size.add(batch.table, batch.rows)
        return Counts(added=batch.received)

    async def _count_children(self, table: Table) -> None:
        """Count the rows of tables without a file that refer to rows which are to be removed."""
        references = [one for one in children(table) if one[0].name not in self._ids]
        keep, after = self._ids[table.name], 0
        while references and (page := await self._snapshot.fetch(table.sql["ids"], (after, CHUNK))):
            after = page[-1][0]
            removed = [key for (key,) in page if key not in keep]
            for child, field in references:
                await self._orphans.count_references(self._snapshot, child, field, removed)


class _ParentsAfterwards(ParentCache):
    """The parents that exist after the restore. It writes parents before children."""

    def __init__(self, snapshot: Transaction, mode: Mode, ids: Mapping[str, IdSet]):
        super().__init__(snapshot)
        self._mode, self._ids = mode, ids

    async def _existing(self, table: Table, ids: Iterable[int]) -> list[int]:
        restored = self._ids.get(table.name)
        if restored is None:
            return await super()._existing(table, ids)
        found = {key for key in ids if key in restored}
        if self._mode == "replace":
            return list(found)
        return [*found, *await super()._existing(table, set(ids) - found)]


def _validated(reader: Reader) -> Iterator[tuple[Batch, Checksum]]:
    """Batches with their checksums."""
    before = Checksum()
    for records in reader:
        batch = validate(reader.table, records)
        yield batch, Checksum(len(records), before.value ^ reader.checksum.value)
        before = reader.checksum
