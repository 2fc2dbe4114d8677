"""The rejects of a load as a CSV file, to correct and load again."""

from __future__ import annotations

import filecmp
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from itertools import count
from pathlib import Path
from typing import IO, Self

from loader.reading.layout import KEY, REASONS, CsvLayout
from loader.reading.source import Source
from loader.reading.splitter import NOT_UTF8
from service.core.errors import InputError, StoppedError
from service.core.rules.reject import Reject

_escaped = re.compile(rb"\\(?:\\|x([89a-f][0-9a-f]))")


class RejectsFile:
    """`<stem>.rejects.csv`: line, reasons and key, then the original record.

    The file appears only when it is complete. It never replaces another file: if a file of that
    name has other content, this one gets a number.
    """

    def __init__(self, folder: Path, stem: str, header: str, render: Callable[[Reject], bytes]):
        """stem: the name of the file of rows; render: the line of a reject, with its line end."""
        self._folder = folder
        self._stem = f"{stem}.rejects"
        self._header = header
        self._render = render
        self._file: IO[bytes] | None = None
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        # On a full disk, closing writes again and fails. That must not hide the first error.
        with suppress(OSError):
            self._stack.close()

    def add(self, rejects: Sequence[Reject]) -> None:
        """Append rejects; StoppedError if the disk is full."""
        if rejects:
            with self._writing():
                self._file = self._file or self._begin()
                self._file.writelines(map(self._render, rejects))

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
                "so far stay. Make room there, then start this load again."
            ) from error

    def _begin(self) -> IO[bytes]:
        file = self._stack.enter_context(_temporary_file(self._folder))
        file.write(f"{self._header}\n".encode())
        return file


def rejects_file(folder: Path, source: Source, layout: CsvLayout) -> RejectsFile:
    """The rejects file of a source: its columns, after the line, the reasons and the key."""
    name = source.table.name if source.piped else source.path.name
    stem = name.removesuffix(".gz").removesuffix(".csv")
    return RejectsFile(folder, stem, header_of(layout), partial(line_of, layout.delimiter))


def header_of(layout: CsvLayout) -> str:
    """The header of the rejects file of a file with this layout."""
    return layout.delimiter.join((*REASONS, KEY, *layout.columns))


def quoted(text: str, delimiter: str = ",") -> str:
    """A field of a CSV file, in quotes if it needs them."""
    plain = not any(mark in text for mark in (delimiter, '"', "\n", "\r"))
    return text if plain else '"' + text.replace('"', '""') + '"'


def line_of(delimiter: str, reject: Reject) -> bytes:
    """The line of a reject, with its line end."""
    reasons = quoted(reject.reasons, delimiter)
    fields = (str(reject.position), reasons, reject.key, reject.record)
    line = delimiter.join(fields).encode()
    if NOT_UTF8 in reasons and any(error.message == NOT_UTF8 for error in reject.errors):
        line = _escaped.sub(_unescape, line)
    return line + b"\n"


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
