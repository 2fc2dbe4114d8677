"""Loads from the console: rows with ids as the loader does it, rows without ids in batches."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import msgspec

from loader.loading import pipeline
from loader.options import Options
from loader.reading.file import CsvFile
from loader.reading.source import Source
from loader.reporting.progress import Advance, Progress
from loader.reporting.summary import Summary
from service.core.database.transactions import Database, Transaction
from service.core.errors import InputError, StoppedError
from service.core.rules.fields import Error
from service.core.tables import Table, by_path
from service.core.threads import in_thread
from service.core.writes import ingest
from service.core.writes.idempotency import Key, Keys, Reply, hash_of
from service.core.writes.merge import OnConflict
from service.core.writes.rejects import RejectOrigin
from service.web.console.file_batches import FileBatch, batches, kind_of, size_of
from service.web.console.jobs import Job, verdict
from service.web.console.rejects_file import RejectsFile

SHOWN = 200
"""Most rejects, and most verdicts of a preview, that a page shows; the file has all rejects."""
WORKERS = 1
"""A load has one place among the long work, so it uses one connection."""
KEY_HOURS = 24 * 30
"""A job is kept for a day after its last run, so its keys outlive it."""
CORRECT_WITH_IDS = "Correct the rejects and load that file."
CORRECT_WITHOUT_IDS = (
    "Write the rejected rows, corrected, into a new file and load that file alone: if you load "
    "the whole file again, its good rows are added a second time."
)
_errors = msgspec.json.Decoder(dict[int, list[Error]])


class _JobProgress(Progress):
    """Copies the loader's progress into a job."""

    def __init__(self, job: Job):
        self._job = job
        self.csv_file: CsvFile | None = None

    @contextmanager
    def file(self, file: CsvFile, summary: Summary) -> Iterator[Advance]:
        self.csv_file = file
        self._job.total = file.size

        def advance(done: int) -> None:
            self._job.done = done
            self._job.rows, self._job.codes = [_counts(summary)], dict(summary.codes)

        yield advance


async def load(job: Job, path: Path, database: Database) -> None:
    """Load a file; in a preview, only validate it."""
    source = Source(by_path(job.options["table"]), path, path.name)
    job.total = await in_thread(size_of, source)
    kind = await in_thread(kind_of, source)
    if kind is None:
        with _without_paths(path.parent):
            await _load_with_ids(job, source.table, path, database)
    else:
        await _LoadWithoutIds(job, source, database).run(kind)


async def _load_with_ids(job: Job, table: Table, path: Path, database: Database) -> None:
    options = Options(
        data_dir=path.parent,
        rejects_dir=path.parent,
        files=(str(path),),
        table=table,
        on_conflict=cast("OnConflict", job.options["on_conflict"]),
        assume_utc=_assumes_utc(job),
        dry_run=job.preview,
        workers=WORKERS,
        small_blocks=True,
    )
    progress = _JobProgress(job)
    (summary,) = await pipeline.load(database, options, progress)
    job.rows, job.codes = [_counts(summary)], dict(summary.codes)
    notes = [f"{note}." for note in summary.notes]
    job.failures = [verdict(one.position, one.record, one.errors) for one in summary.first]
    if summary.rejects_file:
        job.rejects = summary.rejects_file.name
        notes.append(CORRECT_WITH_IDS)
    job.message = " ".join(notes)
    if job.preview and progress.csv_file:
        first = await in_thread(_first_records, progress.csv_file)
        errors = {one.position: one.errors for one in summary.first}
        job.verdicts = [verdict(line, text, errors.get(line, ())) for line, text in first]


@contextmanager
def _without_paths(folder: Path) -> Iterator[None]:
    """Removes the server's folders from the loader's error messages."""
    try:
        yield
    except (InputError, StoppedError) as error:
        message = str(error).replace(f"{folder}/", "").replace(str(folder), "REJECTS_DIR")
        raise StoppedError(message) from error


def _assumes_utc(job: Job) -> bool:
    return job.options["assume_utc"] == "true"


def _first_records(file: CsvFile) -> list[tuple[int, str]]:
    """(line, text) of the first records."""
    block = next(file.blocks(file.start), None)
    if block is None:
        return []
    texts = [file.layout.original(text) for text in block.texts[:SHOWN]]
    return list(zip(block.lines, texts, strict=False))


def _counts(summary: Summary) -> dict[str, Any]:
    names = ("table", "read", "added", "changed", "unchanged", "skipped", "rejected")
    facts = summary.as_object()
    return {name: facts[name] for name in names}


@dataclass
class _LoadWithoutIds:
    """A load of rows without ids: each batch is inserted once, however often the load runs."""

    job: Job
    source: Source
    database: Database

    async def run(self, kind: str) -> None:
        """Load all batches."""
        counts: dict[str, Any] = {
            "table": self.source.table.name,
            "read": 0,
            "added": 0,
            "rejected": 0,
        }
        self.job.rows = [counts]
        with (
            closing(batches(self.source, kind, assume_utc=_assumes_utc(self.job))) as remaining,
            RejectsFile(self.source.path) as rejects,
        ):
            while batch := await in_thread(next, remaining, None):
                errors = await self._write(batch, counts["read"])
                if not self.job.preview:
                    await in_thread(rejects.add, batch, errors)
                self._show(batch, errors, first=not counts["read"])
                counts["read"] += batch.rows.received
                counts["added"] += batch.rows.received - len(errors)
                counts["rejected"] += len(errors)
                self.job.done = batch.end
            self.job.rejects = await in_thread(rejects.publish)
        if self.job.rejects:
            self.job.message = CORRECT_WITHOUT_IDS

    async def _write(self, batch: FileBatch, before: int) -> dict[int, list[Error]]:
        """Write a batch that has so many rows before it; errors by the index of the row."""

        async def work(transaction: Transaction) -> Reply:
            origin = RejectOrigin("api", f"console: {self.source.name}", lines=batch.lines)
            dry_run = self.job.preview
            written = await ingest.ingest(transaction, batch.rows, origin, dry_run=dry_run)
            errors = {reject.position: reject.errors for reject in written.rejects}
            return Reply(200, msgspec.json.encode(errors))

        if self.job.preview:
            reply = await self.database.run(work)
        else:
            key = Key(self.job.user, "console", f"{self.job.id}-{before}", hash_of(batch.body))
            reply = await Keys(self.database, KEY_HOURS).once(key, work)
        return _errors.decode(reply.body)

    def _show(self, batch: FileBatch, errors: dict[int, list[Error]], *, first: bool) -> None:
        """Keep what a page shows of a batch."""
        records = batch.rows.records
        if self.job.preview and first:
            self.job.verdicts = [
                verdict(line, records[at], errors.get(at, ()))
                for at, line in enumerate(batch.lines[:SHOWN])
            ]
        for at in [*errors][: SHOWN - len(self.job.failures)]:
            self.job.failures.append(verdict(batch.lines[at], records[at], errors[at]))
        for error in (error for reasons in errors.values() for error in reasons):
            self.job.codes[error.code] = self.job.codes.get(error.code, 0) + 1
