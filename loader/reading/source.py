"""Where records come from: the files of a folder, files by name, pipes; gzip or plain."""

from __future__ import annotations

import gzip
import hashlib
import shutil
import sys
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from service.core.errors import InputError, StoppedError
from service.core.tables import TABLES, Table

CHUNK = 1 << 20
STDIN = "-"
GZIP = b"\x1f\x8b"
Version = tuple[int, int, int]


@dataclass(frozen=True)
class Source:
    """A file and the table it belongs to; `name` is what people call it.

    piped: it came through a pipe, and `path` is a copy that can be read again.
    """

    table: Table
    path: Path
    name: str
    piped: bool = False

    @property
    def origin(self) -> str:
        """What tells this file from others, whatever is in it."""
        return self.name if self.piped else str(self.path.absolute())[-255:]

    @property
    def short_name(self) -> str:
        """Its name without the folders."""
        return self.name if self.piped else self.path.name

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """The content, unpacked; InputError for a file that cannot be read to its end."""
        try:
            with self.path.open("rb") as raw:
                packed = self.path.suffix == ".gz" or raw.peek(len(GZIP)).startswith(GZIP)
                yield cast("BinaryIO", gzip.GzipFile(fileobj=raw)) if packed else raw
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise InputError(f"{self.name} is no whole gzip file: {error}") from error
        except OSError as error:
            raise InputError(f"{self.name} cannot be read: {error.strerror}.") from error

    def fingerprint(self) -> tuple[str, int]:
        """A hash of the table's name and the content, and the content's bytes; reads all of it."""
        digest, size = hashlib.sha256(self.table.name.encode()), 0
        with self.open() as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
                size += len(chunk)
        return digest.hexdigest(), size

    def version(self) -> Version:
        """What changes when somebody writes to the file."""
        stat = self.path.stat()
        return stat.st_ino, stat.st_size, stat.st_mtime_ns

    def check_unchanged(self, version: Version) -> None:
        """StoppedError if the file is no longer what it was when its load began."""
        try:
            same = self.version() == version
        except OSError:
            same = False
        if not same:
            raise StoppedError(
                f"{self.name} was changed while it was loaded. What is in stays; load it again."
            )


@contextmanager
def open_sources(
    folder: Path, files: Sequence[str] = (), table: Table | None = None
) -> Iterator[list[Source]]:
    """The sources of a run, parents first; InputError if one cannot be read."""
    with ExitStack() as copies:
        if files:
            sources = [_named(file, table, copies) for file in files]
        else:
            sources = [source for table in TABLES for source in _in_folder(folder, table, copies)]
            _refuse_strays(folder, sources)
        for source in sources:
            with source.open() as file:
                file.read(1)
        yield sorted(sources, key=lambda source: TABLES.index(source.table))


def _in_folder(folder: Path, table: Table, copies: ExitStack) -> list[Source]:
    paths = [folder / f"{table.name}.csv", folder / f"{table.name}.csv.gz"]
    there = [path for path in paths if path.exists()]
    if len(there) == 2:
        raise InputError(f"There are both {there[0]} and {there[1]}: which one counts?")
    return [_source(str(path), table, copies) for path in there]


def _refuse_strays(folder: Path, sources: Sequence[Source]) -> None:
    """InputError for a folder without a table's file, or with a file whose name may be misspelt."""
    names = {table.name for table in TABLES}
    strays = [name for name in _csv_files(folder) if name.split(".", 1)[0] not in names]
    if strays:
        raise InputError(
            f"{folder} holds {', '.join(strays[:10])}, named after no table ({_names()}). Rename "
            "such a file or move it elsewhere; --table loads a file of any name."
        )
    if not sources:
        raise InputError(
            f"{folder} holds no file for any table, such as {TABLES[0].name}.csv or "
            f"{TABLES[0].name}.csv.gz. Check DATA_DIR."
        )


def _csv_files(folder: Path) -> list[str]:
    try:
        names = sorted(path.name for path in folder.iterdir())
    except OSError as error:
        raise InputError(f"{folder} cannot be read: {error.strerror}. Check DATA_DIR.") from error
    return [name for name in names if name.lower().endswith((".csv", ".csv.gz"))]


def _names() -> str:
    return ", ".join(table.name for table in TABLES)


def _named(file: str, table: Table | None, copies: ExitStack) -> Source:
    if file == STDIN and table is None:
        raise InputError("Standard input has no name: say --table.")
    return _source(file, table or _table_of(file), copies)


def _source(file: str, table: Table, copies: ExitStack) -> Source:
    path = Path(file)
    if file == STDIN or path.is_fifo():
        return Source(table, copies.enter_context(_copied(file)), file, piped=True)
    return Source(table, path, file)


@contextmanager
def _copied(file: str) -> Iterator[Path]:
    """What comes out of a pipe, as a file that can be read again."""
    with tempfile.NamedTemporaryFile(prefix="hirebase-") as copy:
        try:
            with nullcontext(sys.stdin.buffer) if file == STDIN else Path(file).open("rb") as pipe:
                shutil.copyfileobj(pipe, copy, CHUNK)
            copy.flush()
        except OSError as error:
            where = f"TMPDIR, {tempfile.gettempdir()}"
            raise InputError(f"{file} cannot be copied into {where}: {error.strerror}.") from error
        yield Path(copy.name)


def _table_of(file: str) -> Table:
    stem = Path(file).name.split(".", 1)[0]
    for table in TABLES:
        if stem in (table.name, table.path):
            return table
    raise InputError(f"{file} is named after no table ({_names()}): say --table.")
