"""The files that a restore or a verification reads: an Avro file, or the entries of a ZIP."""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from typing import IO

import msgspec

from service.core.backups.backup import Manifest, Part
from service.core.backups.format import avro
from service.core.backups.format.avro import Reader
from service.core.backups.format.window import window
from service.core.backups.format.zip_archive import CHUNK, MANIFEST, Archive
from service.core.errors import BackupError, DamagedError
from service.core.tables import TABLES, Table
from service.core.threads import in_thread

Source = tuple[Table, IO[bytes]]
ZIP = b"PK"
SHOWN = 300
"""The most characters that an error shows of a text in a file."""


@asynccontextmanager
async def opened(file: IO[bytes]) -> AsyncIterator[list[Source]]:
    """(table, Avro file) of each table in a backup, parents first. A ZIP is checked first."""
    with ExitStack() as stack:
        yield await in_thread(sources, file, stack)


@asynccontextmanager
async def opened_for(table: Table, file: IO[bytes]) -> AsyncIterator[list[Source]]:
    """The same for one table: the file itself, or the table's entry in a ZIP."""
    if not is_archive(file):
        yield [(table, file)]
        return
    async with opened(file) as all_tables:
        own = [source for source in all_tables if source[0] is table]
        if not own:
            raise BackupError(f"This ZIP has no backup of {table.path}.")
        yield own


def is_archive(file: IO[bytes]) -> bool:
    """Whether a file begins like a ZIP."""
    file.seek(0)
    return file.read(len(ZIP)) == ZIP


def sources(file: IO[bytes], stack: ExitStack) -> list[Source]:
    """The same as `opened`, with temporary files on a stack; BackupError says what is wrong."""
    if is_archive(file):
        return _entries(Archive(file), stack)
    return [(avro.table_of(file), file)]


def manifest_of(archive: Archive) -> Manifest | None:
    """The manifest of a ZIP, if it has one."""
    text = archive.manifest()
    if text is None:
        return None
    try:
        return msgspec.json.decode(text, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BackupError(f"The {MANIFEST} of this ZIP cannot be read: {error}") from None


def readers(sources: Sequence[Source]) -> list[Reader]:
    """A reader of each file, with its own position in the file."""
    return [Reader(table, window(file)) for table, file in sources]


def scanned(sources: Sequence[Source]) -> list[Reader]:
    """Readers that have counted their rows; BackupError if a file is cut short."""
    own = readers(sources)
    for reader in own:
        reader.scan()
    return own


def digest_of(file: IO[bytes]) -> tuple[str, int]:
    """(SHA-256, size) of a file."""
    file.seek(0)
    digest = hashlib.sha256()
    while chunk := file.read(CHUNK):
        digest.update(chunk)
    return digest.hexdigest(), file.tell()


def _entries(archive: Archive, stack: ExitStack) -> list[Source]:
    manifest = manifest_of(archive)
    if manifest:
        _compare_names(archive, manifest)
    entries: list[Source] = []
    for table in TABLES:
        name = f"{table.name}.avro"
        if name in archive.names:
            file, digest = archive.open(name, stack)
            entries.append((table, file))
            if manifest:
                _compare(file, digest, table, manifest.tables[table.name])
    if not entries:
        raise BackupError("This ZIP holds no table.")
    return entries


def _compare_names(archive: Archive, manifest: Manifest) -> None:
    named = {part.file for part in manifest.tables.values()} | {MANIFEST}
    expected = {f"{name}.avro" for name in manifest.tables} | {MANIFEST}
    if not archive.names == named == expected:
        raise DamagedError(
            f"This ZIP is incomplete: it holds {', '.join(sorted(archive.names))}, "
            f"its {MANIFEST} names {', '.join(sorted(named))[:SHOWN]}."
        )


def _compare(file: IO[bytes], digest: str, table: Table, part: Part) -> None:
    size = file.seek(0, os.SEEK_END)
    reader = Reader(table, file)
    rows, checksum = (reader.total.rows, str(reader.total)) if reader.total else (0, "none")
    for fact, actual, expected in (
        ("size", size, part.bytes),
        ("SHA-256", digest, part.sha256),
        ("number of rows", rows, part.rows),
        ("checksum", checksum, part.checksum),
        ("schema", reader.schema, part.schema),
    ):
        if actual != expected:
            raise DamagedError(
                f"{part.file} differs from the {MANIFEST}: its {fact} is {str(actual)[:SHOWN]}, "
                f"not {str(expected)[:SHOWN]}."
            )
