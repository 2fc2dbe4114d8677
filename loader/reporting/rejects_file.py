"""What was not loaded: logged in the rejects table, and as a CSV to correct and load again."""

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

_escaped_byte = re.compile(rb"\\x([89a-f][0-9a-f])")


class RejectsFile:
    """`<file>.rejects.csv`: line and reasons, then the record as it was.

    Nothing is to be seen of it before it is whole. A file that is there already stays: if it says
    the same it is taken for this one, else this one gets a number.
    """

    def __init__(self, folder: Path, source: Source, layout: CsvLayout):
        self._folder = folder
        self._stem = _stem(source)
        self._separator = layout.delimiter
        self._columns = layout.columns
        self._file: IO[bytes] | None = None
        self._open = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        # On a full disk, closing writes once more and fails: that must not hide the first error.
        with suppress(OSError):
            self._open.close()

    def add(self, rejects: Sequence[Reject]) -> None:
        """Append rejects whose records are text; StoppedError where there is no room."""
        if rejects:
            with self._writing():
                self._file = self._file or self._begin()
                self._file.writelines(map(self._line, rejects))

    def publish(self) -> Path | None:
        """Give the file its name, if there is anything in it; that name, or StoppedError."""
        if self._file is None:
            return None
        with self._writing(), tempfile.NamedTemporaryFile(dir=self._folder) as whole:
            self._file.seek(0)
            shutil.copyfileobj(self._file, whole)
            whole.flush()
            os.fsync(whole.fileno())
            Path(whole.name).chmod(0o644)
            return next(path for path in self._names() if _publish(Path(whole.name), path))

    def _names(self) -> Iterator[Path]:
        yield self._folder / f"{self._stem}.csv"
        yield from (self._folder / f"{self._stem}-{number}.csv" for number in count(2))

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StoppedError(
                f"Rejects cannot be written into {self._folder}: {error.strerror}. What is in "
                "stays; load it again once they can."
            ) from error

    def _begin(self) -> IO[bytes]:
        file = self._open.enter_context(_nameless(self._folder))
        header = self._separator.join((*REASONS, *self._columns))
        file.write(f"{header}\n".encode())
        return file

    def _line(self, reject: Reject) -> bytes:
        reasons = "; ".join(error.message for error in reject.errors)
        text: str = reject.record
        line = self._separator.join((str(reject.position), self._quoted(reasons), text)).encode()
        if any(error.message == NOT_UTF8 for error in reject.errors):
            line = _escaped_byte.sub(lambda match: bytes.fromhex(match[1].decode()), line)
        return line + b"\n"

    def _quoted(self, text: str) -> str:
        plain = self._separator not in text and '"' not in text and "\n" not in text
        return text if plain else '"' + text.replace('"', '""') + '"'


def check_folder(folder: Path) -> None:
    """InputError unless rejects can be written there; it is made if it is not there yet."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _nameless(folder):
            pass
    except OSError as error:
        raise InputError(
            f"Rejects cannot be written into {folder}: {error.strerror}. Say --rejects-dir."
        ) from error


@contextmanager
def _nameless(folder: Path) -> Iterator[IO[bytes]]:
    # Whoever is killed leaves nothing behind.
    with tempfile.TemporaryFile(dir=folder) as file:
        yield file


def _stem(source: Source) -> str:
    name = source.table.name if source.piped else source.path.name
    return f"{name.removesuffix('.gz').removesuffix('.csv')}.rejects"


def _publish(whole: Path, path: Path) -> bool:
    """Whether `path` is now the same as `whole`, without anything having been overwritten."""
    try:
        path.hardlink_to(whole)
    except FileExistsError:
        return path.is_file() and filecmp.cmp(whole, path, shallow=False)
    except OSError:
        # A file system without links.
        with path.open("xb") as file:
            file.write(whole.read_bytes())
    return True
