"""The file of a load's rejects, written while the load runs."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO, Any, Self

import msgspec

from service.core.rules.fields import Error
from service.web.console.file_batches import FileBatch
from service.web.console.job_files import storage_errors
from service.web.console.jobs import token


class RejectsFile:
    """`<file>.rejects.csv` next to a file; it gets this name when it is complete."""

    def __init__(self, source: Path):
        self._path = source.with_name(f"{source.stem}.rejects.csv")
        self._open = ExitStack()
        self._partial = self._path
        self._file: IO[str] | None = None
        self._csv: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        # On a full disk, closing writes once more and fails: that must not hide the first error.
        with suppress(OSError):
            self._open.close()

    def add(self, batch: FileBatch, errors: Mapping[int, Sequence[Error]]) -> None:
        """Append the rejects of a batch: errors by the index of the row."""
        if not errors:
            return
        with storage_errors():
            if self._file is None:
                self._begin()
            for at, reasons in errors.items():
                messages = "; ".join(error.message for error in reasons)
                self._csv.writerow((batch.lines[at], messages, _json(batch.rows.records[at])))

    def publish(self) -> str | None:
        """Give the file its name; None if it has no rejects."""
        if self._file is None:
            return None
        with storage_errors():
            self._file.flush()
            os.fsync(self._file.fileno())
            self._partial.replace(self._path)
        return self._path.name

    def _begin(self) -> None:
        self._partial = self._path.with_name(f".{token()}")
        self._open.callback(self._partial.unlink, missing_ok=True)
        file = self._partial.open("x", newline="", encoding="utf-8")
        self._file = self._open.enter_context(file)
        self._csv = csv.writer(self._file)
        self._csv.writerow(("line", "errors", "record"))


def _json(record: Any) -> str:
    return msgspec.json.encode(record).decode()
