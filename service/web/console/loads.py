"""Loads from the console: rows with ids as the loader does it, rows without ids in batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import msgspec
from litestar.datastructures import State

from loader.loading import pipeline
from loader.options import Options
from loader.reading.file import CsvFile
from loader.reading.source import Source
from loader.reporting.rejects_file import RejectsFile, quoted
from loader.reporting.summary import SHOWN, Summary
from service.core.database.statements import Transaction
from service.core.database.transactions import Database
from service.core.errors import InputError, StoppedError
from service.core.rules.fields import Error
from service.core.rules.reject import Reject
from service.core.tables import by_path
from service.core.threads import in_thread
from service.core.writes import ingest
from service.core.writes.idempotency import Key, Keys, Reply, hash_of
from service.core.writes.merge import Counts, OnConflict
from service.core.writes.rejects import RejectOrigin
from service.web.console.file_batches import FileBatch, batches, format_of, size_of
from service.web.console.job_files import upload_of
from service.web.console.jobs import Job, record_text, row_verdict

WITHOUT_IDS = ("table", "read", "added", "rejected")
WITH_IDS = ("table", "read", "added", "changed", "unchanged", "skipped", "rejected")
"""The columns of a result."""
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


async def load(job: Job, state: State) -> None:
    """Load a file; in a preview, only validate it."""
    path = upload_of(job, state.jobs)
    source = Source(by_path(job.options["table"]), path, path.name)
    job.total = await in_thread(size_of, source)
    kind = await in_thread(format_of, source)
    with _without_paths(path.parent):
        if kind is None:
            await _load_with_ids(job, source, state.database)
        else:
            await _LoadWithoutIds(job, source, state.database).run(kind)
    # A load that fails is counted when it is complete: its next run reports all rows again.
    if not job.preview:
        state.metrics.count_load(row | {"codes": job.codes} for row in job.rows)


async def _load_with_ids(job: Job, source: Source, database: Database) -> None:
    folder = source.path.parent
    options = Options(
        data_dir=folder,
        rejects_dir=folder,
        files=(str(source.path),),
        table=source.table,
        on_conflict=cast("OnConflict", job.options["on_conflict"]),
        assume_utc=_assumes_utc(job),
        dry_run=job.preview,
        workers=WORKERS,
        small_blocks=True,
        user=job.user,
    )
    loaded: list[CsvFile] = []

    def progress(file: CsvFile, summary: Summary, done: int) -> None:
        loaded[:] = [file]
        job.total, job.done = file.size, done
        _show(job, summary, WITH_IDS)

    (summary,) = await pipeline.load(database, options, progress)
    _show(job, summary, WITH_IDS)
    notes = [f"{note}." for note in summary.notes]
    if summary.rejects_file:
        job.rejects = summary.rejects_file.name
        notes.append(CORRECT_WITH_IDS)
    job.message = " ".join(notes)
    if job.preview and loaded:
        first = await in_thread(_first_records, loaded[0])
        errors = {one.position: one.errors for one in summary.first}
        job.verdicts = [row_verdict(line, text, errors.get(line, ())) for line, text in first]


def _show(job: Job, summary: Summary, columns: Sequence[str]) -> None:
    facts = summary.as_object()
    job.rows, job.codes = [{name: facts[name] for name in columns}], dict(summary.codes)
    job.failures = [row_verdict(one.position, one.record, one.errors) for one in summary.first]


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


@dataclass
class _LoadWithoutIds:
    """A load of rows without ids: each batch is inserted once, however often the load runs."""

    job: Job
    source: Source
    database: Database

    async def run(self, kind: str) -> None:
        """Load all batches."""
        job, path = self.job, self.source.path
        summary = Summary(self.source.table, self.source.name)
        with (
            closing(batches(self.source, kind, assume_utc=_assumes_utc(job))) as remaining,
            RejectsFile(path.parent, path.stem, "line,errors,record", _line) as rejects,
        ):
            while batch := await in_thread(next, remaining, None):
                errors = await self._write(batch, summary.read)
                if job.preview and not summary.read:
                    job.verdicts = _first_verdicts(batch, errors)
                refused = [
                    Reject(batch.lines[at], batch.rows.records[at], errors[at]) for at in errors
                ]
                if not job.preview:
                    await in_thread(rejects.add, refused)
                added = Counts(added=batch.rows.received - len(refused))
                summary.add(batch.rows.received, added, list(map(_as_text, refused)))
                job.done = batch.end
                _show(job, summary, WITHOUT_IDS)
            published = await in_thread(rejects.publish)
        if published:
            job.rejects, job.message = published.name, CORRECT_WITHOUT_IDS

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


def _first_verdicts(batch: FileBatch, errors: dict[int, list[Error]]) -> list[dict[str, Any]]:
    first = enumerate(batch.lines[:SHOWN])
    return [row_verdict(line, batch.rows.records[at], errors.get(at, ())) for at, line in first]


def _line(reject: Reject) -> bytes:
    record = msgspec.json.encode(reject.record).decode()
    return f"{reject.position},{quoted(reject.reasons)},{quoted(record)}\n".encode()


def _as_text(reject: Reject) -> Reject:
    return Reject(reject.position, record_text(reject.record), reject.errors)
