"""A staged restore, from its first step to its last. After a lost server, it continues."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from itertools import count

from service.core.backups.format.avro import Reader
from service.core.backups.restored import Restored
from service.core.backups.sources import Source, readers
from service.core.backups.staged import leftovers
from service.core.backups.staged.changes import BUSY, PAUSE_SECONDS, SWAP_SECONDS, change
from service.core.backups.staged.check import compare, refuse_orphans, verify, wait_for_deletions
from service.core.backups.staged.choice import rows_in_chunk
from service.core.backups.staged.definition import SQL
from service.core.backups.staged.fill import RECONNECT_SECONDS, WORKERS, Fill
from service.core.backups.staged.guard import add_guards, guarded, remove_guards
from service.core.backups.staged.lock import locked, new_owner
from service.core.backups.staged.staging import Staging, key_of
from service.core.database.replication.limits import TransactionLimits
from service.core.database.retry import LOCKED
from service.core.database.statements import SQL as SESSION
from service.core.database.transactions import Database
from service.core.errors import (
    ContentionError,
    HirebaseError,
    TableBusyError,
    UnavailableError,
)
from service.core.progress import Progress, Step
from service.core.threads import in_thread
from service.core.writes.checkpoint import wait_for_database

log = logging.getLogger("hirebase.backups")

ATTEMPTS = 20
PAUSE = 2.0
"""Seconds between two attempts. The swap of a lost one waits for a lock for at most one second."""
SECONDS = 24 * 3600
"""The deadline of a check, which reads a table once."""


class StagedRestore:
    """A restore of files into staging tables, which then take the place of the live tables."""

    def __init__(
        self,
        database: Database,
        sources: Sequence[Source],
        scanned: Sequence[Reader],
        limits: TransactionLimits,
        progress: Progress,
    ):
        self._database, self._sources, self._scanned = database, sources, scanned
        self._rows_in_chunk = rows_in_chunk(
            [table for table, _ in sources], limits, embedded=database.embedded
        )
        self._progress, self._owner = progress, new_owner()
        self._stagings: list[Staging] = []
        self._results: list[Restored] = []

    async def run(self) -> list[Restored]:
        """Restore; errors as for a restore in one transaction, and TableBusyError.

        If the server is lost, continue on it or on the one that takes over.
        """
        key = await in_thread(key_of, self._sources, self._rows_in_chunk)
        self._stagings = [Staging(self._database, table, key) for table, _ in self._sources]
        for attempt in count(1):
            try:
                return await locked(self._database, self._attempt, self._owner)
            except ContentionError as error:
                if attempt == ATTEMPTS:
                    raise UnavailableError(LOCKED) from error
                await asyncio.sleep(PAUSE)
            except UnavailableError as error:
                if attempt == ATTEMPTS:
                    raise
                await asyncio.sleep(PAUSE)
                await wait_for_database(self._database, RECONNECT_SECONDS, error)
        raise AssertionError

    @property
    def _names(self) -> dict[str, str]:
        """The names of the staging tables by those of the live tables."""
        return {one.table.name: one.name for one in self._stagings}

    async def _attempt(self) -> list[Restored]:
        self._report("prepare")
        was_swapped = bool(self._results) and await self._is_swapped()
        await leftovers.clear(self._database, self._stagings[0].key)
        if was_swapped:
            return self._results
        try:
            await self._prepare()
            self._results = await self._stage()
            self._report("swap")
            await self._swap()
        except (ContentionError, UnavailableError):
            raise
        except HirebaseError as error:
            await self._give_up(discard=not isinstance(error, TableBusyError))
            raise
        await self._finish()
        return self._results

    async def _prepare(self) -> None:
        """Create the staging tables, then guard the live ones."""
        self._report("create")
        # While a node of Galera adds indexes, the cluster commits nothing: not even the lease.
        on_galera = await self._database.fetch(SESSION["galera_is_on"])
        for staging in self._stagings:
            await staging.create()
            if on_galera:
                await staging.add_indexes()
        self._report("guard")
        await add_guards(self._database, self._names)

    async def _stage(self) -> list[Restored]:
        """Fill, complete and check the staging tables: what the swap would do."""
        await self._fill()
        for staging in self._stagings:
            self._report(f"index {staging.table.path}")
            await staging.add_indexes()
        self._report("references")
        for staging in self._stagings:
            await staging.add_foreign_keys(self._names)
        await wait_for_deletions(self._database, self._stagings)
        return await self._check()

    async def _fill(self) -> None:
        own = await in_thread(readers, self._sources)
        total, done = sum(reader.rows for reader in self._scanned), 0

        def count_rows(rows: int) -> None:
            nonlocal done
            done += rows
            self._report("fill", done, total)

        workers = max(1, min(WORKERS, self._database.pool.maxsize // 2))
        for staging, reader in zip(self._stagings, own, strict=True):
            await Fill(staging, reader, self._rows_in_chunk, workers).run(count_rows)

    async def _check(self) -> list[Restored]:
        results = []
        for staging, reader in zip(self._stagings, self._scanned, strict=True):
            self._report(f"verify {staging.table.path}")
            async with self._database.transaction(SECONDS) as transaction:
                result = await verify(transaction, staging, reader)
                await refuse_orphans(transaction, staging, self._names)
                self._report(f"compare {staging.table.path}")
                await compare(transaction, staging, result)
            results.append(result)
        return results

    async def _swap(self) -> None:
        """Swap all tables in one statement: readers see all old tables, or all new ones."""
        names = [staging.table.name for staging in self._stagings]
        if not await guarded(self._database) >= {*names}:
            raise UnavailableError("The guard of the restore was removed. Try again shortly.")
        await self._wait_for_snapshots()
        renames = ", ".join(
            f"`{one.table.name}` TO `{one.replaced}`, `{one.name}` TO `{one.table.name}`"
            for one in self._stagings
        )
        await change(self._database, names[-1], f"RENAME TABLE {renames}", SWAP_SECONDS)

    async def _wait_for_snapshots(self) -> None:
        """Wait for the backups of this process: seekdb does not keep a table for its readers."""
        clock = asyncio.get_running_loop().time
        end = clock() + SWAP_SECONDS
        while self._database.embedded and self._database.snapshot_age():
            if clock() > end:
                raise TableBusyError(BUSY.format(name=self._stagings[0].table.name))
            await asyncio.sleep(PAUSE_SECONDS)

    async def _is_swapped(self) -> bool:
        """Whether the swap was done, although its answer was lost."""
        tables = {name for _, name, _ in await self._database.fetch(SQL["leftovers"])}
        return self._stagings[0].name not in tables

    async def _finish(self) -> None:
        """Remove what was replaced. Tables that are in use stay, because the restore is done."""
        self._report("finish")
        try:
            await leftovers.finish(self._database)
        except TableBusyError:
            log.warning("Tables that a restore replaced are in use; they are removed later.")

    async def _give_up(self, *, discard: bool) -> None:
        for staging in reversed(self._stagings) if discard else ():
            await staging.discard()
        await remove_guards(self._database, self._names)

    def _report(self, name: str, rows: int = 0, total: int = 0) -> None:
        self._progress(Step(name, rows, total))
