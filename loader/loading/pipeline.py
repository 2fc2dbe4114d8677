"""Source → batch → store: one transaction per block, several at a time, each block once."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing, closing
from copy import copy
from functools import partial

from msgspec import Struct

from loader.loading.block_size import block_bytes
from loader.loading.dry_run import dry_run, shadow_tables
from loader.loading.file_checkpoint import FileCheckpoint
from loader.loading.reject_log import RejectLog
from loader.options import Options
from loader.reading.file import CsvFile
from loader.reading.processes import validated
from loader.reading.source import Source, open_sources, printable
from loader.reading.splitter import Block
from loader.reporting.progress import Progress, silent
from loader.reporting.rejects_file import check_folder, rejects_file
from loader.reporting.summary import Summary
from service.core.database.replication.limits import TransactionLimits
from service.core.database.statements import Transaction
from service.core.database.transactions import Database
from service.core.errors import StoppedError
from service.core.ordered import Ids, Job, in_order
from service.core.rules.batch import Batch
from service.core.rules.reject import Reject
from service.core.tables import TABLES, Table
from service.core.threads import in_thread
from service.core.writes import merge
from service.core.writes.checkpoint import Done, Position, exactly_once
from service.core.writes.corrections.files import Corrections, dismiss_repeated
from service.core.writes.merge import Counts
from service.core.writes.parents import check_parents
from service.core.writes.rejects import RejectOrigin

SECONDS = 300


Count = Callable[[Table, int], None]
"""Called with a table and the number of rows that a transaction has added to it."""


def uncounted(_table: Table, _rows: int) -> None:
    """Counts nothing."""


class Outcome(Struct, frozen=True):
    """The outcome of a block."""

    received: int
    counts: Counts
    rejects: list[Reject]
    end: Position


async def load(
    database: Database, options: Options, progress: Progress = silent, count: Count = uncounted
) -> list[Summary]:
    """Load the files, parents first; InputError before anything is written."""
    with open_sources(options.data_dir, options.files, options.table) as sources:
        return await load_sources(database, sources, options, progress, count)


async def load_sources(
    database: Database,
    sources: Sequence[Source],
    options: Options,
    progress: Progress,
    count: Count = uncounted,
) -> list[Summary]:
    """Load sources that are open."""
    small = options.small_blocks or database.embedded
    size = block_bytes(await database.limits(), small=small)
    detect = partial(CsvFile.detect, options=options, block_bytes=size)
    files = [await in_thread(detect, source) for source in sources]
    if options.dry_run or options.max_rejects is not None:
        dry_summaries = await _dry_run(database, files, options, progress)
        if options.dry_run:
            return _with_skipped(dry_summaries, options)
    await in_thread(check_folder, options.rejects_dir)
    loads = [
        Load(database, file, options, copy=_copies(files[:at], file), count=count)
        for at, file in enumerate(files)
    ]
    summaries = [await one.run(progress) for one in loads]
    for one in loads:
        await one.checkpoint.forget()
    return _with_skipped(summaries, options)


def _copies(earlier: Sequence[CsvFile], file: CsvFile) -> int:
    """How many earlier files have the same content and table."""
    return sum(other.fingerprint == file.fingerprint for other in earlier)


def _with_skipped(summaries: list[Summary], options: Options) -> list[Summary]:
    """The summaries, and a note for each table that has no file in the folder."""
    if options.files:
        return summaries
    loaded = {summary.table for summary in summaries}
    skipped = [
        Summary(table, None, notes=[f"No file for {table.name} in {printable(options.data_dir)}"])
        for table in TABLES
        if table not in loaded
    ]
    return sorted(summaries + skipped, key=lambda summary: TABLES.index(summary.table))


async def _dry_run(
    database: Database, files: list[CsvFile], options: Options, progress: Progress
) -> list[Summary]:
    """The summaries of a dry run; StoppedError if it has more rejects than allowed."""
    with shadow_tables() as rows:
        summaries = [
            await dry_run(database, rows, file, options.on_conflict, progress) for file in files
        ]
    rejected = sum(summary.rejected for summary in summaries)
    if options.max_rejects is not None and rejected > options.max_rejects:
        details = "\n".join(map(str, summaries))
        raise StoppedError(
            f"{rejected} rows break a rule, and --max-rejects allows {options.max_rejects}. "
            f"Nothing was loaded.\n{details}"
        )
    return summaries


class Load:
    """The load of one file."""

    def __init__(
        self,
        database: Database,
        file: CsvFile,
        options: Options,
        *,
        copy: int = 0,
        count: Count = uncounted,
    ):
        """copy: how many earlier files have the same content and table."""
        self._database = database
        self._file = file
        self._options = options
        self._table = file.source.table
        origin = RejectOrigin("loader", file.source.short_name, file.fingerprint)
        self._log = RejectLog(self._table, origin, file.layout)
        self._done: dict[int, Done] = {}
        self._count = count
        # Each copy of a file that one run loads has its own checkpoint.
        key = f"{options.checkpoint_key} {copy}" if copy else options.checkpoint_key
        # Checkpoints name blocks by their start, so blocks of another size have their own.
        small = options.small_blocks or database.embedded
        if file.block_bytes != block_bytes(TransactionLimits(), small=small):
            key += f" of {file.block_bytes}"
        self.checkpoint = FileCheckpoint(database, file.source, file.fingerprint, key)

    async def run(self, progress: Progress) -> Summary:
        """Load the blocks that are not loaded yet.

        The summary and the rejects file always describe the whole file.
        """
        file = self._file
        summary = Summary(self._table, file.source.name)
        with rejects_file(self._options.rejects_dir, file.source, file.layout) as rejects:
            async with aclosing(self._outcomes(summary)) as outcomes:
                async for outcome in outcomes:
                    summary.add(outcome.received, outcome.counts, outcome.rejects)
                    rejects.add(outcome.rejects)
                    progress(file, summary, outcome.end.byte)
            summary.rejects_file = await in_thread(rejects.publish)
        if not summary.read:
            summary.notes.append("The file has no rows")
        summary.seconds = summary.elapsed
        return summary

    async def _outcomes(self, summary: Summary) -> AsyncGenerator[Outcome]:
        """The outcomes of all blocks, beginning with those of an earlier run."""
        place = self._file.start
        line = await self.checkpoint.superseded()
        if line:
            summary.notes.append(f"The file has changed since a load of it stopped at line {line}")
        self._done = await self.checkpoint.done()
        while done := self._done.get(place.byte):
            yield await self._recorded(done)
            place = done.end
        if place != self._file.start:
            summary.notes.append(f"Continued at line {place.line}")
        async with aclosing(in_order(self._jobs(place), self._options.workers)) as outcomes:
            async for outcome in outcomes:
                yield outcome

    async def _jobs(self, start: Position) -> AsyncGenerator[Job[Outcome]]:
        # In a thread, so that the event loop serves the running transactions meanwhile.
        with closing(validated(self._file, start, self._options.processes)) as blocks:
            while item := await in_thread(next, blocks, None):
                block, batch = item
                if done := self._done.get(block.start.byte):
                    yield Job(Ids(()), partial(self._recorded, done))
                else:
                    yield Job(Ids(batch.rows), partial(self._write, block, batch))

    async def _recorded(self, done: Done) -> Outcome:
        lines = range(done.start.line, done.end.line)
        rejects = await self._log.fetch(self._database, lines)
        return Outcome(done.received, done.counts, rejects, done.end)

    async def _write(self, block: Block, batch: Batch) -> Outcome:
        """Write a block once, even if others load this file or the connection breaks."""
        return await exactly_once(
            self._database,
            lambda: self._commit(block, batch),
            lambda: self._find(block),
            self._options.reconnect_seconds,
        )

    async def _commit(self, block: Block, batch: Batch) -> Outcome:
        outcome = await self._database.run(
            lambda transaction: self._put(transaction, block, batch), SECONDS
        )
        self._count(self._table, outcome.counts.added)
        return outcome

    async def _find(self, block: Block) -> Outcome | None:
        done = await self.checkpoint.find(block.start)
        return await self._recorded(done) if done else None

    async def _put(self, transaction: Transaction, block: Block, batch: Batch) -> Outcome:
        # A copy: after a deadlock this runs again, and parents may exist by then.
        attempt = copy(batch)
        attempt.rejects = list(batch.rejects)
        await self.checkpoint.claim(transaction, block.start, block.end)
        corrections = await Corrections.of(transaction, attempt, block.keys)
        await check_parents(transaction, attempt)
        counts = await merge.put(transaction, attempt, self._options.on_conflict)
        counts.skipped += corrections.skipped
        await corrections.close(transaction, attempt, self._options.user)
        rejects = self._file.at_lines(attempt.rejects, block, corrections.key)
        lines = range(block.start.line, block.end.line)
        fresh = await self._log.put(transaction, rejects, lines)
        if corrections.open:
            repeats = ((reject.position, reject.key) for reject in fresh)
            fingerprint, user = self._file.fingerprint, self._options.user
            await dismiss_repeated(transaction, fingerprint, repeats, user)
        received = batch.received
        await self.checkpoint.record(transaction, block.start, received, counts, attempt.rows)
        return Outcome(received, counts, rejects, block.end)
