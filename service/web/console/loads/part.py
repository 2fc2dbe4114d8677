"""A part of a load: one file, and its row on the page of the job."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loader.loading.dry_run import ShadowTables
from loader.loading.pipeline import Count
from loader.reading.source import Source
from loader.reporting.summary import Summary
from service.core.database.transactions import Database
from service.core.errors import HirebaseError, InputError, StoppedError
from service.core.rules.fields import Error
from service.core.rules.reject import Reject
from service.web.console.jobs import Job, row_verdict
from service.web.console.loads.files import LoadOptions

COLUMNS = ("table", "read", "added", "changed", "unchanged", "skipped", "rejected", "codes")
"""What a page shows of the summary of a file."""
CORRECT = "Correct its rejects in their file and load that file alone: the other rows are loaded."


@dataclass
class Part:
    """One file of a load. It shows its progress in its row of the job.

    at: its position among the files; before: the bytes of the files before it; shown: how many rows
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
    """The fingerprint of its table and its content, if it has a checkpoint."""
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
        """Delete what only a repeated run needs."""

    def show(self, summary: Summary, done: int) -> None:
        """Show a summary in the row of the file, and how many of its bytes are done."""
        facts = summary.as_object()
        self.job.rows[self.at] |= {name: facts[name] for name in COLUMNS}
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

    def publish(self, summary: Summary, rejects: Path | None = None) -> None:
        """Show the end of the file, its rejects file, and what to do with it."""
        notes = [f"{note}." for note in summary.notes]
        if rejects:
            notes.append(CORRECT)
            self.job.rows[self.at] |= {"rejects_file": rejects.name, "origin": self.origin}
        self.job.rows[self.at]["note"] = " ".join(notes)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Show that the file is loading, and how it ends."""
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
