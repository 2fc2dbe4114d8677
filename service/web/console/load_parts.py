"""The parts of a load, a file each: rows with ids as the loader loads them, others in batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import msgspec

from loader.loading.block_size import block_bytes
from loader.loading.dry_run import ShadowTables, dry_run
from loader.loading.pipeline import Count, Load
from loader.options import Options
from loader.reading.file import CsvFile
from loader.reading.source import Source
from loader.reporting.rejects_file import RejectsFile, check_folder, quoted
from loader.reporting.summary import Summary
from service.core.database.statements import Transaction
from service.core.database.transactions import Database
from service.core.errors import HirebaseError, InputError, StoppedError
from service.core.rules.fields import Error
from service.core.rules.reject import Reject
from service.core.threads import in_thread
from service.core.writes import ingest
from service.core.writes.idempotency import Key, Keys, Reply, hash_of
from service.core.writes.merge import Counts
from service.core.writes.parents import Pending, no_ids
from service.core.writes.rejects import RejectOrigin
from service.web.console.file_batches import FileBatch, batches
from service.web.console.job_files import LoadOptions
from service.web.console.jobs import Job, record_text, row_verdict

COLUMNS = ("table", "read", "added", "changed", "unchanged", "skipped", "rejected", "codes")
"""What a page shows of the summary of a file."""
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


@dataclass
class Part:
    """One file of a load, which shows what it does in its row of the job.

    at: its place among the files; before: the bytes of the files before it; shown: how many rows
    and how many rejects the page of the job shows.
    """

    job: Job
    database: Database
    source: Source
    at: int
    before: int
    shown: int
    options: LoadOptions
    count: Count

    origin = ""
    """The origin of its rejects in the database."""
    fingerprint = ""
    """Of its table and its content, if it has a checkpoint."""
    copy = 0
    """How many earlier files have the same fingerprint."""

    async def prepare(self) -> None:
        """Look at the file before anything is written; InputError."""

    async def preview(self, pending: ShadowTables) -> None:
        """Validate the rows; those of earlier files are pending."""
        raise NotImplementedError

    async def load(self) -> None:
        """Write the rows that no earlier run has written."""
        raise NotImplementedError

    async def forget(self) -> None:
        """Delete what only a repeated run would need."""

    def show(self, summary: Summary, done: int, **more: Any) -> None:
        """Show a summary in the row of the file, and how many of its bytes are done."""
        facts = summary.as_object()
        self.job.rows[self.at] |= {name: facts[name] for name in COLUMNS} | more
        self.job.done = self.before + done
        self._replace(self.job.failures, [(one.position, one) for one in summary.first])

    def show_first(self, rows: Sequence[tuple[int, Any]], errors: dict[int, list[Error]]) -> None:
        """Show the first rows of a preview, (line, record), with the errors by line."""
        found = [(line, Reject(line, record, errors.get(line, []))) for line, record in rows]
        self._replace(self.job.verdicts, found)

    def _replace(self, shown: list[dict[str, Any]], rows: Sequence[tuple[int, Reject]]) -> None:
        others = [one for one in shown if one["file"] != self.at]
        own = [row_verdict(line, one.record, one.errors) for line, one in rows[: self.shown]]
        shown[:] = others + [{"file": self.at, **one} for one in own]

    def publish(self, summary: Summary, rejects: Path | None, advice: str) -> None:
        """Show the end of the file, its rejects file, and what to do with it."""
        notes = [f"{note}." for note in summary.notes]
        if rejects:
            notes.append(advice)
            self.job.rows[self.at] |= {"rejects_file": rejects.name, "origin": self.origin}
        self.job.rows[self.at]["note"] = " ".join(notes)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Show that the file is at work, and how that ends."""
        row = self.job.rows[self.at]
        row["state"] = "running"
        try:
            with self.without_paths():
                yield
        except HirebaseError:
            row["state"] = "failed"
            raise
        row["state"] = "done"

    @contextmanager
    def without_paths(self) -> Iterator[None]:
        """Removes the server's folders from error messages."""
        folder = self.source.path.parent
        try:
            yield
        except (InputError, StoppedError) as error:
            message = str(error).replace(f"{folder}/", "").replace(str(folder), "REJECTS_DIR")
            raise StoppedError(message) from error


class WithIds(Part):
    """A file of rows with ids, as the loader loads it: its checkpoints say what is done."""

    _file: CsvFile
    _load: Load

    @cached_property
    def _options(self) -> Options:
        folder = self.source.path.parent
        return Options(
            data_dir=folder,
            rejects_dir=folder,
            on_conflict=self.options.on_conflict,
            assume_utc=self.options.assume_utc,
            workers=WORKERS,
            small_blocks=True,
            user=self.job.user,
        )

    async def prepare(self) -> None:
        size = block_bytes(await self.database.limits(), small=True)
        detect = partial(CsvFile.detect, self.source, self._options, block_bytes=size)
        self._file = await in_thread(detect)
        await in_thread(check_folder, self._options.rejects_dir)
        self.fingerprint, self.origin = self._file.fingerprint, self.source.short_name

    async def preview(self, pending: ShadowTables) -> None:
        summary = await dry_run(
            self.database, pending, self._file, self.options.on_conflict, self._progress
        )
        self.show(summary, self._file.size)
        self.publish(summary, None, "")
        errors = {one.position: one.errors for one in summary.first}
        self.show_first(await in_thread(_first_records, self._file), errors)

    async def load(self) -> None:
        self._load = Load(
            self.database, self._file, self._options, copy=self.copy, count=self.count
        )
        summary = await self._load.run(self._progress)
        self.show(summary, self._file.size)
        self.publish(summary, summary.rejects_file, CORRECT_WITH_IDS)

    async def forget(self) -> None:
        await self._load.checkpoint.forget()

    def _progress(self, _file: CsvFile, summary: Summary, done: int) -> None:
        self.show(summary, done)


@dataclass
class WithoutIds(Part):
    """A file of rows without ids: each batch is inserted once, however often the load runs.

    kind: the format of the file.
    """

    kind: str

    async def prepare(self) -> None:
        self.origin = f"console: {self.source.name}"

    async def preview(self, pending: ShadowTables) -> None:
        await self._run(pending.ids)

    async def load(self) -> None:
        await self._run()

    async def _run(self, pending: Pending = no_ids) -> None:
        path, is_preview = self.source.path, self.job.preview
        summary = Summary(self.source.table, self.source.name)
        found = batches(self.source, self.kind, assume_utc=self.options.assume_utc)
        with (
            closing(found) as remaining,
            RejectsFile(path.parent, path.stem, "line,errors,record", _line) as rejects,
        ):
            while batch := await in_thread(next, remaining, None):
                refused = await self._write(batch, summary.read, pending)
                if is_preview and not summary.read:
                    self._show_first(batch, refused)
                if not is_preview:
                    await in_thread(rejects.add, refused)
                added = Counts(added=batch.rows.received - len(refused))
                summary.add(batch.rows.received, added, list(map(_as_text, refused)))
                self.show(summary, batch.end)
            published = await in_thread(rejects.publish)
        self.publish(summary, published, CORRECT_WITHOUT_IDS)

    async def _write(self, batch: FileBatch, before: int, pending: Pending) -> list[Reject]:
        """Write a batch that has so many rows before it; its rejects, with their lines."""

        async def work(transaction: Transaction) -> Reply:
            origin = RejectOrigin("api", self.origin, lines=batch.lines)
            dry_run = self.job.preview
            written = await ingest.ingest(
                transaction, batch.rows, origin, dry_run=dry_run, pending=pending
            )
            errors = {reject.position: reject.errors for reject in written.rejects}
            return Reply(200, msgspec.json.encode(errors))

        if self.job.preview:
            reply = await self.database.run(work)
        else:
            name = f"{self.job.id}-{self.at}-{before}"
            key = Key(self.job.user, "console", name, hash_of(batch.body))
            reply = await Keys(self.database, KEY_HOURS).once(key, work)
            if not reply.replayed:
                self.count(self.source.table, batch.rows.received - len(_errors.decode(reply.body)))
        errors = _errors.decode(reply.body)
        return [Reject(batch.lines[at], batch.rows.records[at], errors[at]) for at in errors]

    def _show_first(self, batch: FileBatch, refused: Sequence[Reject]) -> None:
        lines = batch.lines[: self.shown]
        rows = [(line, batch.rows.records[at]) for at, line in enumerate(lines)]
        self.show_first(rows, {one.position: one.errors for one in refused})


def _first_records(file: CsvFile) -> list[tuple[int, str]]:
    """(line, text) of the first records."""
    block = next(file.blocks(file.start), None)
    if block is None:
        return []
    return [
        (line, file.layout.original(text))
        for line, text in zip(block.lines, block.texts, strict=False)
    ]


def _line(reject: Reject) -> bytes:
    record = msgspec.json.encode(reject.record).decode()
    return f"{reject.position},{quoted(reject.reasons)},{quoted(record)}\n".encode()


def _as_text(reject: Reject) -> Reject:
    return Reject(reject.position, record_text(reject.record), reject.errors)
