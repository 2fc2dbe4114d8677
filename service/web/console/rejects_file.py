"""The file of a load's rejects, written as they are found."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any, Self

import msgspec

from service.core.errors import StorageError
from service.core.rules.batch import Batch
from service.core.rules.fields import Error
from service.web.console.jobs import token


@contextmanager
def writing() -> Iterator[None]:
    """Errors of the folder of uploads and rejects as StorageError."""
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"The folder of uploads and rejects (REJECTS_DIR) cannot be used: {error.strerror}. "
            "Give it room, and the right to read and write there; then try again."
        ) from error


class RejectsFile:
    """`<file>.rejects.csv` beside a file; nothing is to be seen of it before it is whole."""

    def __init__(self, source: Path):
        self._path = source.with_name(f"{source.stem}.rejects.csv")
        self._open = ExitStack()
        self._partial = self._path
        self._file: IO[str] | None = None
        self._csv: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._open.close()

    def add(self, judged: Batch, before: int, errors: Mapping[int, Sequence[Error]]) -> None:
        """Append the rejects of a batch that has so many rows before it."""
        if not errors:
            return
        with writing():
            if self._file is None:
                self._begin()
            for at, reasons in errors.items():
                told = "; ".join(error.message for error in reasons)
                self._csv.writerow((before + at + 1, told, _text(judged.records[at])))

    def publish(self) -> str | None:
        """Give the file its name, if there is anything in it; that name."""
        if self._file is None:
            return None
        with writing():
            self._file.flush()
            self._partial.replace(self._path)
        return self._path.name

    def _begin(self) -> None:
        self._partial = self._path.with_name(f".{token()}")
        self._open.callback(self._partial.unlink, missing_ok=True)
        file = self._partial.open("x", newline="", encoding="utf-8")
        self._file = self._open.enter_context(file)
        self._csv = csv.writer(self._file)
        self._csv.writerow(("row", "errors", "record"))


def _text(record: Any) -> str:
    return msgspec.json.encode(record).decode()
