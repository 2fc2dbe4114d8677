"""Input files: the files of a folder, files by name, pipes; gzip or plain."""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import stat
import sys
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from loader.reading.detection import by_file_name
from service.core.errors import InputError, StoppedError
from service.core.tables import TABLES, Table

CHUNK = 1 << 20
STDIN = "-"
GZIP = b"\x1f\x8b"
SUFFIXES = (".csv", ".csv.gz")
Version = tuple[int, int, int]


@dataclass(frozen=True)
class Source:
    """A file and the table it belongs to; messages call it `name`.

    piped: the input is a pipe, and `path` is a temporary copy of it.
    """

    table: Table
    path: Path
    name: str
    piped: bool = False

    @property
    def origin(self) -> str:
        """Identifies this file, whatever its content; at most 255 characters."""
        return self.name if self.piped else printable(self.path.absolute())[-255:]

    @property
    def short_name(self) -> str:
        """Its name without the folders."""
        return self.name if self.piped else printable(self.path.name)

    def open(self) -> AbstractContextManager[BinaryIO]:
        """The unpacked content; InputError if the file cannot be read to its end."""
        return unpacked(self.path, self.name)

    def fingerprint(self) -> tuple[str, int]:
        """A hash of the table's name and the content, and the content's bytes; reads all of it."""
        digest, size = hashlib.sha256(self.table.name.encode()), 0
        with self.open() as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
                size += len(chunk)
        return digest.hexdigest(), size

    def version(self) -> Version:
        """Changes when another program writes to the file or replaces it; InputError."""
        try:
            stat = self.path.stat()
        except OSError as error:
            raise _unreadable(self.name, error) from error
        return stat.st_ino, stat.st_size, stat.st_mtime_ns

    def check_unchanged(self, version: Version) -> None:
        """StoppedError if the file is not the same as at the start of its load."""
        try:
            same = self.version() == version
        except InputError:
            same = False
        if not same:
            raise StoppedError(
                f"{self.name} was changed during its load. The rows loaded so far stay. Load the "
                "file again."
            )


@contextmanager
def unpacked(path: Path, name: str) -> Iterator[BinaryIO]:
    """The content of a file, gzip or plain; InputError if it cannot be read to its end."""
    try:
        with path.open("rb") as raw:
            packed = path.suffix == ".gz" or raw.peek(len(GZIP)).startswith(GZIP)
            yield cast("BinaryIO", gzip.GzipFile(fileobj=raw)) if packed else raw
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InputError(f"{name} is not a complete gzip file: {error}. Copy it again.") from error
    except OSError as error:
        raise _unreadable(name, error) from error


@contextmanager
def open_sources(
    folder: Path, files: Sequence[str] = (), table: Table | None = None
) -> Iterator[list[Source]]:
    """The sources of a run, parents first; InputError if one cannot be read."""
    with ExitStack() as copies:
        if files:
            sources = [_from_name(file, table, copies) for file in files]
        else:
            sources = _from_folder(folder, copies)
        for source in sources:
            with source.open() as file:
                file.read(1)
        yield sorted(sources, key=lambda source: TABLES.index(source.table))


def printable(path: str | Path) -> str:
    """A path as text that every output takes; bytes that are not UTF-8 as backslash escapes."""
    return os.fsencode(path).decode(errors="backslashreplace")


def _from_folder(folder: Path, copies: ExitStack) -> list[Source]:
    """The sources of a folder; InputError if it has none, or a CSV file with an unexpected name."""
    names = _csv_files(folder)
    _check_names(folder, names)
    sources = []
    for table in TABLES:
        files = [folder / name for name in names if name in _file_names(table)]
        if len(files) > 1:
            raise InputError(
                f"{printable(folder)} holds both {' and '.join(path.name for path in files)}. "
                "Remove one of them."
            )
        sources += [_source(str(path), table, copies) for path in files]
    if not sources:
        raise InputError(
            f"{printable(folder)} holds no file for any table, such as {TABLES[0].name}.csv or "
            f"{TABLES[0].name}.csv.gz. Check DATA_DIR."
        )
    return sources


def _check_names(folder: Path, names: Sequence[str]) -> None:
    """InputError for a name that may be misspelt; `jobs.rejects.csv` and the like are allowed."""
    expected = [name for table in TABLES for name in _file_names(table)]
    tables = {table.name for table in TABLES}
    misspelt = [
        name
        for name in names
        if name.split(".", 1)[0] not in tables
        or (name.lower() in expected and name not in expected)
    ]
    if misspelt:
        raise InputError(
            f"{printable(folder)} holds {', '.join(map(printable, misspelt[:10]))}, which is not "
            f"the name of a table ({_table_names()}) with .csv or .csv.gz in lower case. Rename "
            "such a file, or move it elsewhere. --table loads a file of any name."
        )


def _file_names(table: Table) -> list[str]:
    return [f"{table.name}{suffix}" for suffix in SUFFIXES]


def _csv_files(folder: Path) -> list[str]:
    try:
        names = sorted(path.name for path in folder.iterdir())
    except OSError as error:
        raise _unreadable(printable(folder), error, "DATA_DIR") from error
    return [name for name in names if name.lower().endswith(SUFFIXES)]


def _table_names() -> str:
    return ", ".join(table.name for table in TABLES)


def _from_name(file: str, table: Table | None, copies: ExitStack) -> Source:
    if file == STDIN and table is None:
        raise InputError("Standard input has no file name. Name its table with --table.")
    return _source(file, table or _table_of(file), copies)


def _source(file: str, table: Table, copies: ExitStack) -> Source:
    path = Path(file)
    if file == STDIN or _is_pipe(path):
        return Source(table, copies.enter_context(_copied(file)), printable(file), piped=True)
    return Source(table, path, printable(file))


def _is_pipe(path: Path) -> bool:
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise _unreadable(printable(path), error) from error
    if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        raise InputError(f"{printable(path)} is a device. Name a file, a pipe or - instead.")
    return stat.S_ISFIFO(mode)


@contextmanager
def _copied(file: str) -> Iterator[Path]:
    """The content of a pipe as a temporary file, which can be read twice."""
    if file == STDIN and sys.stdin is None:
        raise InputError("Standard input is closed. Send the file there, or name a file.")
    with tempfile.NamedTemporaryFile(prefix="hirebase-") as copy:
        try:
            with nullcontext(sys.stdin.buffer) if file == STDIN else Path(file).open("rb") as pipe:
                shutil.copyfileobj(pipe, copy, CHUNK)
            copy.flush()
        except OSError as error:
            where = f"TMPDIR, {tempfile.gettempdir()}"
            raise InputError(
                f"{printable(file)} cannot be copied into {where}: {error.strerror}. Make room "
                "there, or set TMPDIR to another folder."
            ) from error
        yield Path(copy.name)


def _table_of(file: str) -> Table:
    if table := by_file_name(file):
        return table
    raise InputError(
        f"{printable(file)} is not named after a table ({_table_names()}). Name its table with "
        "--table."
    )


def _unreadable(
    name: str, error: OSError, cause: str = "its path and its permissions"
) -> InputError:
    return InputError(f"{name} cannot be read: {error.strerror}. Check {cause}.")
