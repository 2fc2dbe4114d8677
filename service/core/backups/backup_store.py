"""The folder of backups. A backup gets its name only after it is written and verified."""

from __future__ import annotations

import os
import re
import time
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing, contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import IO

from msgspec import Struct
from msgspec.structs import asdict

from service.core.backups import backup
from service.core.backups.backup import Manifest, Part
from service.core.backups.format.avro import Reader, table_of
from service.core.backups.format.codecs import Codec
from service.core.backups.format.zip_archive import Archive
from service.core.backups.sources import digest_of, manifest_of
from service.core.backups.verify import verify
from service.core.database.transactions import Database
from service.core.errors import BackupError, NotFoundError
from service.core.progress import Progress, silent
from service.core.tables import TABLES, Table
from service.core.temporary_files import storage_errors
from service.core.threads import in_thread

ALL = "hirebase"
PARTIAL = ".partial-"
STALE_SECONDS = 24 * 3600
_moment = re.compile(r"(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)([0-9.]+)Z")
_named = re.compile(r"([a-z_]+)-\d{8}T\d{6}\.\d{6}Z\.(?:avro|zip)").fullmatch


_storage_errors = partial(
    storage_errors,
    "The folder of backups (BACKUP_DIR) cannot be used",
    "Check its free space and its permissions.",
)


class Saved(Manifest, frozen=True, kw_only=True):
    """The manifest, the name and the size of a backup on disk."""

    name: str
    size: int


class Listed(Struct, frozen=True):
    """A backup on disk: its tables, its size in bytes and its time (UTC)."""

    name: str
    tables: str
    size: int
    made_at: str


class BackupStore:
    """Backups in a folder, oldest first."""

    def __init__(self, folder: Path):
        self._folder = folder

    async def save(
        self,
        database: Database,
        table: Table | None,
        codec: Codec,
        keep: int | None = None,
        progress: Progress = silent,
    ) -> Saved:
        """Back up one table or all; BackupError if verification fails, StorageError."""
        made = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        name = f"{table.path}-{made}.avro" if table else f"{ALL}-{made}.zip"
        stream = (
            backup.stream_table(database, table, codec, progress)
            if table
            else backup.stream_all(database, codec, TABLES, progress)
        )
        with _storage_errors():
            saved = await self._write(name, stream, progress)
            if keep is not None:
                await in_thread(self._prune, name, keep)
        return saved

    def list(self) -> list[Listed]:
        """All backups, oldest first; StorageError."""
        with _storage_errors():
            sizes = [(path.name, _size(path)) for path in self._paths()]
        return [
            Listed(name, _kind(name), size, _made_at(name))
            for name, size in sizes
            if size is not None
        ]

    def open(self, name: str) -> IO[bytes]:
        """Open a backup by its name; NotFoundError, StorageError."""
        # Another process may remove the file at the same time.
        with _storage_errors(), suppress(FileNotFoundError):
            if name in {path.name for path in self._paths()}:
                return (self._folder / name).open("rb")
        raise NotFoundError(f"There is no backup {name[:100]!r}; GET /avro/backups lists them.")

    async def _write(self, name: str, stream: AsyncGenerator[bytes], progress: Progress) -> Saved:
        partial_file = self._folder / f"{PARTIAL}{name}"
        await in_thread(self._prepare)
        try:
            await _fill(partial_file, stream)
            with partial_file.open("rb") as file:
                await verify(file, progress)
                saved = await in_thread(_saved, name, file)
            await in_thread(self._publish, partial_file, name)
        finally:
            # A file that cannot be removed now is removed as stale later. Keep the first error.
            with suppress(OSError):
                partial_file.unlink(missing_ok=True)
        return saved

    def _prepare(self) -> None:
        """Create the folder and remove files that killed programs left in it."""
        self._folder.mkdir(parents=True, exist_ok=True)
        for path in self._folder.glob(f"{PARTIAL}*"):
            # Another process may remove or publish the file at the same time.
            with suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > STALE_SECONDS:
                    path.unlink()

    def _publish(self, partial_file: Path, name: str) -> None:
        partial_file.rename(self._folder / name)
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _prune(self, name: str, keep: int) -> None:
        """Remove older backups of the same kind, never `name` itself or a newer one.

        Another process may save at the same time, and the clock may have been set back.
        """
        kind, made = _kind(name), _made_at(name)
        alike = [path for path in self._paths() if _kind(path.name) == kind]
        for path in [path for path in alike if _made_at(path.name) <= made][:-keep]:
            path.unlink(missing_ok=True)

    def _paths(self) -> Sequence[Path]:
        if not self._folder.is_dir():
            return []
        paths = [path for path in self._folder.iterdir() if _named(path.name) and path.is_file()]
        return sorted(paths, key=lambda path: _made_at(path.name))


async def _fill(path: Path, stream: AsyncGenerator[bytes]) -> None:
    with _private(path) as file:
        async with aclosing(stream):
            async for chunk in stream:
                await in_thread(file.write, chunk)
        file.flush()
        await in_thread(os.fsync, file.fileno())


@contextmanager
def _private(path: Path) -> Iterator[IO[bytes]]:
    """A new file that only its owner can read: backups contain names of people."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        yield file


def _saved(name: str, file: IO[bytes]) -> Saved:
    manifest = manifest_of(Archive(file)) if name.endswith(".zip") else None
    size = os.fstat(file.fileno()).st_size
    return Saved(**asdict(manifest or _manifest(name, file)), name=name, size=size)


def _manifest(name: str, file: IO[bytes]) -> Manifest:
    """The manifest of a single Avro file."""
    table = table_of(file)
    reader = Reader(table, file)
    origin, total = reader.origin, reader.total
    if origin is None or total is None:
        raise BackupError(f"{name} is not a backup of hirebase.")
    digest, size = digest_of(file)
    part = Part(name, total.rows, size, digest, str(total), reader.schema)
    return Manifest(
        origin.program,
        origin.schema_version,
        origin.snapshot_at,
        reader.codec,
        {table.name: part},
        origin.server,
        origin.position,
    )


def _size(path: Path) -> int | None:
    """None if another process removed the file."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None


def _kind(name: str) -> str:
    return name.partition("-")[0]


def _made_at(name: str) -> str:
    return _moment.sub(r"\1-\2-\3T\4:\5:\6Z", name.partition("-")[2].rpartition(".")[0])
