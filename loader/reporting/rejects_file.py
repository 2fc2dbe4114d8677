"""The rejects of a load as a CSV file, to correct and load again."""

from __future__ import annotations

import filecmp
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import IO, Self

from loader.reading.layout import REASONS, CsvLayout
from loader.reading.source import Source
from loader.reading.splitter import NOT_UTF8
from service.core.errors import InputError, StoppedError
from service.core.rules.reject import Reject

_escaped = re.compile(rb"\\(?:\\|x([89a-f][0-9a-f]))")


class RejectsFile:
    """`<file>.rejects.csv`: line and reasons, then the original record.

    The file appears only when it is complete. It never replaces another file: if a file of that
    name has other content, this one gets a number.
    """

    def __init__(self, folder: Path, source: Source, layout: CsvLayout):
        self._folder = folder
        self._stem = _stem(source)
        self._separator = layout.delimiter
        self._columns = layout.columns
        self._file: IO[bytes] | None = None
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        # On a full disk, closing writes once more and fails: that must not hide the first error.
        with suppress(OSError):
            self._stack.close()

    def add(self, rejects: Sequence[Reject]) -> None:
        """Append rejects whose records are text; StoppedError if the disk is full."""
        if rejects:
            with self._writing():
                self._file = self._file or self._begin()
                self._file.writelines(map(self._line, rejects))

    def publish(self) -> Path | None:
        """Give the file its name; None if it has no rejects; StoppedError."""
        if self._file is None:
            return None
        with self._writing(), tempfile.NamedTemporaryFile(dir=self._folder) as copy:
            self._file.seek(0)
            shutil.copyfileobj(self._file, copy)
            copy.flush()
            os.fsync(copy.fileno())
            Path(copy.name).chmod(0o644)
            return next(path for path in self._names() if _publish(Path(copy.name), path))

    def _names(self) -> Iterator[Path]:
        yield self._folder / f"{self._stem}.csv"
        yield from (self._folder / f"{self._stem}-{number}.csv" for number in count(2))

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StoppedError(
                f"Rejects cannot be written into {self._folder}: {error.strerror}. The rows loaded "
                "so far stay. Solve the problem and load the file again."
            ) from error

    def _begin(self) -> IO[bytes]:
        file = self._stack.enter_context(_temporary_file(self._folder))
        header = self._separator.join((*REASONS, *self._columns))
        file.write(f"{header}\n".encode())
        return file

    def _line(self, reject: Reject) -> bytes:
        reasons = "; ".join(error.message for error in reject.errors)
        text: str = reject.record
        line = self._separator.join((str(reject.position), self._quoted(reasons), text)).encode()
        if any(error.message == NOT_UTF8 for error in reject.errors):
            line = _escaped.sub(_unescape, line)
        return line + b"\n"

    def _quoted(self, text: str) -> str:
        plain = self._separator not in text and '"' not in text and "\n" not in text
        return text if plain else '"' + text.replace('"', '""') + '"'


def _unescape(match: re.Match[bytes]) -> bytes:
    return bytes.fromhex(match[1].decode()) if match[1] else b"\\"


def check_folder(folder: Path) -> None:
    """Create the folder if it does not exist; InputError if it cannot take files."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _temporary_file(folder):
            pass
    except OSError as error:
        raise InputError(
            f"Rejects cannot be written into {folder}: {error.strerror}. Choose another "
            "folder with --rejects-dir."
        ) from error


@contextmanager
def _temporary_file(folder: Path) -> Iterator[IO[bytes]]:
    # Without a name: nothing remains of it if the loader is killed.
    with tempfile.TemporaryFile(dir=folder) as file:
        yield file


def _stem(source: Source) -> str:
    name = source.table.name if source.piped else source.path.name
    return f"{name.removesuffix('.gz').removesuffix('.csv')}.rejects"


def _publish(copy: Path, path: Path) -> bool:
    """Whether `path` now has the content of `copy`; an existing file is not changed."""
    try:
        path.hardlink_to(copy)
    except FileExistsError:
        return path.is_file() and filecmp.cmp(copy, path, shallow=False)
    except OSError:
        # The file system has no hard links.
        with path.open("xb") as file:
            file.write(copy.read_bytes())
    return True
