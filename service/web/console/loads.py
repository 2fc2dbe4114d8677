"""Loading a file from the console: rows with their ids as the loader does, others as batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import msgspec

from loader.loading import pipeline
from loader.options import Options
from loader.reading.file import CsvFile
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
from service.web.console.file_batches import Part, clipped, kind_of, parts
from service.web.console.jobs import Job
from service.web.console.rejects_file import RejectsFile

SHOWN = 200
"""Rejects, and verdicts of a preview, that a page shows; the file has all rejects."""
CHARACTERS = 500
"""Of a record on a page."""
WORKERS = 1
"""A load has one place among the long work, so it uses one connection."""
KEY_HOURS = 24 * 30
"""A job is kept for a day after its last run, so its keys outlive it."""
_errors = msgspec.json.Decoder(dict[int, list[Error]])


class _Watched(Progress):
    """Puts the loader's progress into a job."""

    def __init__(self, job: Job):
        self._job = job
        self.found: CsvFile | None = None

    @contextmanager
    def file(self, file: CsvFile, summary: Summary) -> Iterator[Advance]:
        self.found = file
        self._job.total = file.size

        def advance(done: int) -> None:
            self._job.done = done
            self._job.rows, self._job.codes = [_told(summary)], dict(summary.codes)

        yield advance


async def load(job: Job, path: Path, database: Database) -> None:
    """Load a file, or in a preview only judge it."""
    table = by_path(job.options["table"])
    kind = await in_thread(kind_of, table, path)
    if kind is None:
        with _without_paths(path.parent):
            await _load_with_ids(job, table, path, database)
    else:
        await _New(job, table, path, database).load(kind)


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
    watched = _Watched(job)
    (summary,) = await pipeline.load(database, options, watched)
    job.rows, job.codes = [_told(summary)], dict(summary.codes)
    job.message = " ".join(f"{note}." for note in summary.notes)
    job.failures = [_shown(one.position, one.record, one.errors) for one in summary.first]
    job.rejects = summary.rejects_file.name if summary.rejects_file else None
    if job.preview and watched.found:
        first = await in_thread(_first_records, watched.found)
        errors = {one.position: one.errors for one in summary.first}
        job.verdicts = [_shown(line, text, errors.get(line, ())) for line, text in first]


@contextmanager
def _without_paths(folder: Path) -> Iterator[None]:
    """The loader names folders, as its users are on the server; the console's are not."""
    try:
        yield
    except (InputError, StoppedError) as error:
        told = str(error).replace(f"{folder}/", "").replace(str(folder), "REJECTS_DIR")
        raise StoppedError(told) from error


def _assumes_utc(job: Job) -> bool:
    return job.options["assume_utc"] == "true"


def _first_records(file: CsvFile) -> list[tuple[int, str]]:
    """(line, text) of the first records."""
    block = next(file.blocks(file.start), None)
    if block is None:
        return []
    texts = [file.layout.original(text) for text in block.texts[:SHOWN]]
    return list(zip(block.lines, texts, strict=False))


def _shown(index: int, record: Any, errors: Sequence[Error]) -> dict[str, Any]:
    """A row as a page shows it, however long it is."""
    text = record if isinstance(record, str) else msgspec.json.encode(record).decode()
    short = record if len(text) <= CHARACTERS else clipped(text, CHARACTERS)
    told = [{"code": error.code, "message": error.message} for error in errors]
    return {"index": index, "record": short, "errors": told}


def _told(summary: Summary) -> dict[str, Any]:
    kept = ("table", "read", "added", "changed", "unchanged", "skipped", "rejected")
    facts = summary.as_object()
    return {name: facts[name] for name in kept}


@dataclass
class _New:
    """A file of rows without ids: batch after batch, each inserted once however often it is run."""

    job: Job
    table: Table
    path: Path
    database: Database

    async def load(self, kind: str) -> None:
        """All of it."""
        counts: dict[str, Any] = {"table": self.table.name, "read": 0, "added": 0, "rejected": 0}
        self.job.total, self.job.rows = self.path.stat().st_size, [counts]
        batches = parts(self.table, kind, self.path, assume_utc=_assumes_utc(self.job))
        with RejectsFile(self.path) as rejects:
            while part := await in_thread(next, batches, None):
                added, errors = await self._take(part, counts["read"])
                if not self.job.preview:
                    await in_thread(rejects.add, part.judged, counts["read"], errors)
                self._show(part, counts["read"], errors)
                counts["read"] += part.judged.received
                counts["added"] += added
                counts["rejected"] += len(errors)
                self.job.done = part.end
            self.job.rejects = await in_thread(rejects.publish)

    async def _take(self, part: Part, before: int) -> tuple[int, dict[int, list[Error]]]:
        """(rows added, errors by index) of a batch."""

        async def work(transaction: Transaction) -> Reply:
            origin = RejectOrigin("api", f"console: {self.path.name}")
            dry_run = self.job.preview
            verdict = await ingest.ingest(transaction, part.judged, origin, dry_run=dry_run)
            errors = {reject.position: reject.errors for reject in verdict.rejects}
            return Reply(200, msgspec.json.encode(errors))

        if self.job.preview:
            reply = await self.database.run(work)
        else:
            key = Key(self.job.user, "console", f"{self.job.id}-{before}", hash_of(part.body))
            reply = await Keys(self.database, KEY_HOURS).once(key, work)
        errors = _errors.decode(reply.body)
        return part.judged.received - len(errors), errors

    def _show(self, part: Part, before: int, errors: dict[int, list[Error]]) -> None:
        """Keep what a page shows of a batch."""
        records = part.judged.records
        if self.job.preview and not before:
            first = range(min(SHOWN, part.judged.received))
            self.job.verdicts = [_shown(at + 1, records[at], errors.get(at, ())) for at in first]
        for at in [*errors][: SHOWN - len(self.job.failures)]:
            self.job.failures.append(_shown(before + at + 1, records[at], errors[at]))
        for error in (error for found in errors.values() for error in found):
            self.job.codes[error.code] = self.job.codes.get(error.code, 0) + 1
