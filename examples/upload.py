"""Uploads a CSV file of any size: in batches, several at a time, as fast as the service takes them.

It begins with one batch at a time and sends more, until the service answers 503. Then it sends half
as many, and tries again: up to --in-flight. A batch has the same Idempotency-Key in every run, so
an upload that was interrupted can run again within IDEMPOTENCY_HOURS, and no row is written twice.

    API_PASS=secret python -m examples.upload employees hires.csv
    API_PASS=secret python -m examples.upload jobs other.csv.gz --columns=-,job --delimiter=';'
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import gzip
import hashlib
import io
import json
import os
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from itertools import count, islice
from pathlib import Path
from typing import TextIO

from examples.client import Client, Refused, Unavailable, Verdict

ROWS = 1000
"""Rows of a batch: the most that the service takes."""
SKIPPED = "-"
"""The name of a column that is not sent."""


@dataclass(frozen=True)
class Batch:
    """Rows of a file, and the line where each of them ends; number: the place in the file."""

    number: int
    lines: list[int]
    rows: list[list[str]]

    def body(self, columns: list[str]) -> bytes:
        """The rows as CSV with the names of the fields."""
        kept = [at for at, column in enumerate(columns) if column != SKIPPED]
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([columns[at] for at in kept])
        for row in self.rows:
            # A row of another length stays as it is: the service says what is wrong with it.
            writer.writerow([row[at] for at in kept] if len(row) == len(columns) else row)
        return text.getvalue().encode()


@dataclass
class Pace:
    """How many batches are in flight: one more after as many successes, half after a refusal."""

    client: Client
    most: int
    limit: float = 1.0
    running: int = 0
    refusals: int = 0
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Wait for a place for a batch. At its end, learn from what the service answered."""
        async with self.changed:
            await self.changed.wait_for(lambda: self.running < int(self.limit))
            self.running += 1
        try:
            yield
        finally:
            async with self.changed:
                self.running -= 1
                self._adapt()
                self.changed.notify_all()

    def _adapt(self) -> None:
        refused = self.client.refusals > self.refusals
        self.refusals = self.client.refusals
        wanted = self.limit / 2 if refused else self.limit + 1 / self.limit
        self.limit = min(max(wanted, 1.0), self.most)


@dataclass
class Upload:
    """An upload of one file; key: begins the keys of its batches; rejects: gets the failed rows.

    counts: `sent` and `rejected` rows.
    """

    client: Client
    table: str
    columns: list[str]
    key: str
    rejects: TextIO
    counts: Counter[str]

    async def send(self, batches: Iterator[Batch], in_flight: int) -> None:
        """Send all batches. The file is read only as fast as they are sent."""
        pace = Pace(self.client, in_flight)
        async with asyncio.TaskGroup() as tasks:
            for _ in range(in_flight):
                tasks.create_task(self._send_each(batches, pace))

    async def _send_each(self, batches: Iterator[Batch], pace: Pace) -> None:
        for batch in batches:
            async with pace.place():
                body = batch.body(self.columns)
                key = f"{self.key}-{batch.number}"
                verdict = await self.client.post_body(self.table, body, "text/csv", key)
            self._count(batch, verdict)

    def _count(self, batch: Batch, verdict: Verdict) -> None:
        self.counts["sent"] += len(batch.rows)
        self.counts["rejected"] += len(verdict.failures)
        for failure in verdict.failures:
            errors = [error["message"] for error in failure.errors]
            line = {"line": batch.lines[failure.index], "errors": errors, "record": failure.record}
            print(json.dumps(line, ensure_ascii=False), file=self.rejects)


def batches(rows: Iterator[tuple[int, list[str]]]) -> Iterator[Batch]:
    """Rows with their lines, in batches."""
    for number in count():
        if not (part := list(islice(rows, ROWS))):
            return
        yield Batch(number, [line for line, _ in part], [row for _, row in part])


def fingerprint(path: Path, *settings: str) -> str:
    """A hash of the content of a file and of what is done with it."""
    with path.open("rb") as file:
        content = hashlib.file_digest(file, "sha256")
    content.update("\0".join(settings).encode())
    return content.hexdigest()[:32]


def opened(path: Path) -> TextIO:
    """The text of a file, which may be compressed with gzip."""
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="upload", description="Upload a CSV file.")
    parser.add_argument("table", help="departments, jobs or employees")
    parser.add_argument("file", type=Path, help="a CSV file, or one in gzip (.gz)")
    parser.add_argument("--columns", help="names of the columns, if the file has no header")
    parser.add_argument("--delimiter", default=",", help="character between fields")
    parser.add_argument("--in-flight", type=int, default=16, help="most batches at a time")
    parser.add_argument("--rejects", type=Path, help="file for rejected rows (default: stderr)")
    url = os.environ.get("API_URL", "http://127.0.0.1:8000")
    parser.add_argument("--url", default=url, help="address of the service (default: API_URL)")
    return parser.parse_args()


def main(chosen: argparse.Namespace) -> int:
    """Upload the file; 1 if rows were rejected, 2 if the upload stopped."""
    began = time.monotonic()
    counts: Counter[str] = Counter()
    stopped: list[Exception] = []
    with opened(chosen.file) as file, rejects_file(chosen.rejects) as rejects:
        try:
            asyncio.run(upload(chosen, file, rejects, counts))
        except* (Refused, Unavailable) as group:
            stopped += group.exceptions
    for error in stopped:
        cause = "Correct the cause, then run" if isinstance(error, Refused) else "Run"
        print(error, f"{cause} the same command again to continue.", file=sys.stderr)
    sent, rejected = counts["sent"], counts["rejected"]
    rate = sent / (time.monotonic() - began)
    print(f"{sent} rows sent, {sent - rejected} written, {rejected} rejected, {rate:.0f} rows/s")
    return 2 if stopped else int(rejected > 0)


async def upload(
    chosen: argparse.Namespace, file: TextIO, rejects: TextIO, counts: Counter[str]
) -> None:
    reader = csv.reader(file, delimiter=chosen.delimiter)
    columns = chosen.columns.split(",") if chosen.columns else next(reader, [])
    key = fingerprint(chosen.file, chosen.table, chosen.delimiter, *columns)
    user, password = os.environ.get("API_USER", "admin"), os.environ["API_PASS"]
    async with Client.connected(chosen.url, user, password) as client:
        sending = Upload(client, chosen.table, columns, key, rejects, counts)
        rows = ((reader.line_num, row) for row in reader if row)
        await sending.send(batches(rows), chosen.in_flight)


def rejects_file(path: Path | None) -> AbstractContextManager[TextIO]:
    return path.open("w", encoding="utf-8") if path else nullcontext(sys.stderr)


if __name__ == "__main__":
    sys.exit(main(options()))
