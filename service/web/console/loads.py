"""Loading a file from the console: rows with their ids as the loader does, others as batches."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, cast

import msgspec

from loader import pipeline
from loader.file import File
from loader.options import Options
from loader.progress import Advance, Progress
from loader.report import Summary
from service.core import bodies, intake
from service.core.batch import MAX_ROWS, Batch
from service.core.database import Database, Transaction
from service.core.errors import MalformedError
from service.core.idempotency import Key, Keys, Reply, hash_of
from service.core.intake import Verdict
from service.core.merge import OnConflict
from service.core.store import Origin
from service.core.tables import Table, by_path
from service.core.threads import in_thread
from service.web.console.jobs import Job

SHOWN = 200
"""Rejects, and verdicts of a preview, that a page shows; the file has all rejects."""
SNIFFED = 1 << 16
NDJSON = "application/x-ndjson"
Save = Callable[[Job], None]


class _Watched(Progress):
    """Puts the loader's progress into a job's state."""

    def __init__(self, job: Job, save: Save):
        self._job, self._save = job, save
        self.found: File | None = None

    @contextmanager
    def file(self, file: File, summary: Summary) -> Iterator[Advance]:
        self.found = file
        self._job.total = file.size

        def advance(done: int) -> None:
            self._job.done = done
            self._job.rows, self._job.codes = [_told(summary)], dict(summary.codes)
            self._save(self._job)

        yield advance


async def load(job: Job, path: Path, database: Database, keys: Keys, save: Save) -> None:
    """Load a file, or in a preview only judge it."""
    table = by_path(job.options["table"])
    job.failures, job.verdicts, job.rows, job.codes, job.done = [], [], [], {}, 0
    kind = await in_thread(_kind, table, path)
    if kind is None:
        await _load_with_ids(job, table, path, database, save)
    else:
        await _New(job, table, path, kind, database, keys, save).load()


async def _load_with_ids(
    job: Job, table: Table, path: Path, database: Database, save: Save
) -> None:
    options = Options(
        data_dir=path.parent,
        rejects_dir=path.parent,
        files=(str(path),),
        table=table,
        on_conflict=cast("OnConflict", job.options["on_conflict"]),
        assume_utc=job.options["assume_utc"] == "true",
        dry_run=job.preview,
    )
    watched = _Watched(job, save)
    (summary,) = await pipeline.load(database, options, watched)
    job.rows, job.codes = [_told(summary)], dict(summary.codes)
    job.message = " ".join(f"{note}." for note in summary.notes)
    job.failures = msgspec.to_builtins([reject.as_failure() for reject in summary.first])
    job.rejects = summary.rejects_file.name if summary.rejects_file else None
    if job.preview and watched.found:
        first = await in_thread(_first_records, watched.found)
        job.verdicts = _verdicts(first, job.failures)


def _first_records(file: File) -> list[tuple[int, Any]]:
    """(line, text) of the first records."""
    block = next(file.blocks(file.start), None)
    if block is None:
        return []
    texts = [file.layout.original(text) for text in block.texts[:SHOWN]]
    return list(zip(block.lines, texts, strict=False))


def _verdicts(
    first: Sequence[tuple[int, Any]], failures: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """The first rows as a page shows them; `failures`: at least those among them."""
    errors = {one["index"]: one["errors"] for one in failures}
    return [{"index": at, "record": row, "errors": errors.get(at, [])} for at, row in first]


def _told(summary: Summary) -> dict[str, Any]:
    kept = ("table", "read", "added", "changed", "unchanged", "skipped", "rejected")
    facts = summary.as_object()
    return {name: facts[name] for name in kept}


def _kind(table: Table, path: Path) -> str | None:
    """The media type of a file of rows without ids; None for one that the loader takes."""
    with path.open("rb") as file:
        start = file.read(SNIFFED).removeprefix(b"\xef\xbb\xbf").lstrip()
    if start.startswith(b"{"):
        return NDJSON
    if start.startswith(b"["):
        raise MalformedError("Send JSON as NDJSON, a row a line, or POST it to the API.")
    header = start.partition(b"\n")[0].decode(errors="replace").strip().lower().split(",")
    names = {name.strip().strip('"') for name in header}
    return "text/csv" if names == {field.name for field in table.fields} else None


@dataclass
class _New:
    """A file of rows without ids: batch after batch, each inserted once however often it is run."""

    job: Job
    table: Table
    path: Path
    kind: str
    database: Database
    keys: Keys
    save: Save
    rejected: list[dict[str, Any]] = field(default_factory=list)

    async def load(self) -> None:
        """All of it."""
        self.job.total = self.path.stat().st_size
        codes = Counter[str]()
        counts: dict[str, Any] = {"table": self.table.name, "read": 0, "added": 0, "rejected": 0}
        self.job.rows = [counts]
        parts = _parts(self.kind, self.path)
        while part := await in_thread(next, parts, None):
            body, done = part
            judged = await in_thread(bodies.read, self.table, self.kind, body)
            added, failures = await self._take(judged, body, counts["read"])
            self.rejected += [
                {**one, "index": one["index"] + counts["read"] + 1} for one in failures
            ]
            if self.job.preview and not counts["read"]:
                first = range(min(SHOWN, judged.received))
                shown = [(at + 1, judged.record(at)) for at in first]
                self.job.verdicts = _verdicts(shown, self.rejected)
            counts["read"] += judged.received
            counts["added"] += added
            counts["rejected"] = len(self.rejected)
            codes.update(error["code"] for one in failures for error in one["errors"])
            self.job.codes = dict(codes)
            self.job.done = done
            self.save(self.job)
        self.job.failures = self.rejected[:SHOWN]
        if self.rejected and not self.job.preview:
            await in_thread(self._write_rejects)

    async def _take(
        self, judged: Batch, body: bytes, first: int
    ) -> tuple[int, list[dict[str, Any]]]:
        """(rows added, failures) of a batch."""

        async def work(transaction: Transaction) -> Reply:
            origin = Origin("api", f"console: {self.path.name}")
            verdict = await intake.take(transaction, judged, origin, dry_run=self.job.preview)
            return Reply(200, msgspec.json.encode(_verdict(verdict, dry_run=self.job.preview)))

        if self.job.preview:
            reply = await self.database.run(work)
        else:
            key = Key(self.job.user, "console", f"{self.job.id}-{first}", hash_of(body))
            reply = await self.keys.once(key, work)
        told = msgspec.json.decode(reply.body)
        return told["added"], told["failures"]

    def _write_rejects(self) -> None:
        self.job.rejects = f"{self.path.stem}.rejects.csv"
        with (self.path.parent / self.job.rejects).open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(("row", "errors", "record"))
            for one in self.rejected:
                reasons = "; ".join(error["message"] for error in one["errors"])
                record = msgspec.json.encode(one["record"]).decode()
                writer.writerow((one["index"], reasons, record))


def _verdict(verdict: Verdict, *, dry_run: bool) -> dict[str, Any]:
    good = verdict.received - len(verdict.rejects)
    return {
        "added": good if dry_run else verdict.inserted,
        "failures": [reject.as_failure() for reject in verdict.rejects],
    }


def _parts(kind: str, path: Path) -> Iterator[tuple[bytes, int]]:
    """(body, bytes read so far) of batch after batch."""
    with path.open("rb") as file:
        if kind == NDJSON:
            lines = (line for line in file if line.strip())
            while part := list(islice(lines, MAX_ROWS)):
                yield b"".join(line.rstrip(b"\n") + b"\n" for line in part), file.tell()
            return
        text = io.TextIOWrapper(file, "utf-8-sig", newline="")
        records = csv.reader(text, strict=True)
        try:
            header = next(records)
            while rows := list(islice((row for row in records if row), MAX_ROWS)):
                yield _as_csv([header, *rows]), file.tell()
        except (csv.Error, UnicodeDecodeError) as error:
            raise MalformedError(f"The file is no CSV in UTF-8: {error}.") from None


def _as_csv(rows: Sequence[Sequence[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()
