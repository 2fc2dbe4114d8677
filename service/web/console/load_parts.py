"""The parts of a load, a file each: rows with ids as the loader loads them, others in batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from copy import copy
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from loader.loading.block_size import block_bytes
from loader.loading.dry_run import ShadowTables, dry_run
from loader.loading.pipeline import Count, Load
from loader.options import Options
from loader.reading.file import CsvFile
from loader.reading.layout import KEY, REASONS
from loader.reading.source import Source
from loader.reporting.rejects_file import RejectsFile, check_folder, line_of
from loader.reporting.summary import Summary
from service.core.database.statements import Transaction
from service.core.database.transactions import Database
from service.core.errors import HirebaseError, InputError, StoppedError
from service.core.rules.fields import Error
from service.core.rules.raw_json import text_of
from service.core.rules.reject import Reject
from service.core.threads import in_thread
from service.core.writes import ingest
from service.core.writes.corrections.files import Corrections, dismiss_repeated, key_of
from service.core.writes.idempotency import Key, Keys, Reply, hash_of
from service.core.writes.merge import Counts
from service.core.writes.parents import Pending, no_ids
from service.core.writes.rejects import RejectOrigin
from service.web.console.file_batches import FileBatch, batches, columns_of
from service.web.console.job_files import LoadOptions
from service.web.console.jobs import Job, row_verdict

COLUMNS = ("table", "read", "added", "changed", "unchanged", "skipped", "rejected", "codes")
"""What a page shows of the summary of a file."""
WORKERS = 1
"""A load has one place among the long work, so it uses one connection."""
KEY_HOURS = 24 * 30
"""A job is kept for a day after its last run, so its keys outlive it."""
CORRECT = "Correct its rejects in their file and load that file alone: the other rows are loaded."


class _Written(Struct):
    """What became of a batch: errors of its rejects and their keys by position, and its counts."""

    errors: dict[int, list[Error]]
    keys: dict[int, str]
    counts: Counts


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
        self.publish(summary, summary.rejects_file, CORRECT)

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

    @cached_property
    def _key(self) -> str:
        """The fingerprint of this load of the file: each load adds the rows again."""
        return hash_of("console", self.job.id, str(self.at))

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
        columns = await in_thread(columns_of, self.source, self.kind)
        header = ",".join((*REASONS, KEY, *columns))
        file = RejectsFile(path.parent, path.stem, header, partial(line_of, ","))
        with closing(found) as remaining, file as rejects:
            while batch := await in_thread(next, remaining, None):
                written = await self._write(batch, summary.read, pending)
                refused = _rejects(batch, written, batch.rows.records.__getitem__)
                if is_preview and not summary.read:
                    self._show_first(batch, refused)
                if not is_preview:
                    texts = _rejects(batch, written, batch.text)
                    await in_thread(rejects.add, texts)
                summary.add(batch.rows.received, written.counts, list(map(_as_text, refused)))
                self.show(summary, batch.end)
            published = await in_thread(rejects.publish)
        self.publish(summary, published, CORRECT)

    async def _write(self, batch: FileBatch, before: int, pending: Pending) -> _Written:
        """Write a batch that has so many rows before it."""

        put = partial(self._put, batch, pending)
        if self.job.preview:
            return await self.database.run(put)

        async def work(transaction: Transaction) -> Reply:
            return Reply(200, msgspec.json.encode(await put(transaction)))

        name = f"{self.job.id}-{self.at}-{before}"
        key = Key(self.job.user, "console", name, hash_of(batch.body))
        reply = await Keys(self.database, KEY_HOURS).once(key, work)
        written = msgspec.json.decode(reply.body, type=_Written)
        if not reply.replayed:
            self.count(self.source.table, written.counts.added)
        return written

    async def _put(self, batch: FileBatch, pending: Pending, transaction: Transaction) -> _Written:
        """Insert the rows, close the rejects that they correct, and log their rejects."""
        rows = copy(batch.rows)
        rows.rejects = list(rows.rejects)
        is_preview, user = self.job.preview, self.job.user
        corrections = await Corrections.of(transaction, rows, batch.keys, lock=not is_preview)
        origin = RejectOrigin("api", self.origin, self._key, batch.lines)
        done = await ingest.ingest(transaction, rows, origin, dry_run=is_preview, pending=pending)
        errors = {reject.position: reject.errors for reject in done.rejects}
        keys = {at: corrections.key(at) or key_of(self._key, batch.lines[at]) for at in errors}
        if not is_preview:
            await corrections.close_with(transaction, dict(enumerate(done.ids)), user)
            repeats = ((batch.lines[at], key) for at, key in keys.items())
            await dismiss_repeated(transaction, self._key, repeats, user)
        added = done.received - len(errors) - corrections.skipped
        return _Written(errors, keys, Counts(added=added, skipped=corrections.skipped))

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


def _rejects(batch: FileBatch, written: _Written, record: Callable[[int], Any]) -> list[Reject]:
    """The rejects of a batch with their lines; record: how they show a row, by position."""
    return [
        Reject(batch.lines[at], record(at), errors, written.keys[at])
        for at, errors in written.errors.items()
    ]


def _as_text(reject: Reject) -> Reject:
    return Reject(reject.position, text_of(reject.record), reject.errors)
