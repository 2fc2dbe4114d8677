"""The files of loads, in folders that all replicas share.

Each upload has a folder with a numbered folder for each of its files. When its load begins, the
folder becomes the folder of the job. The rejects of a file are written beside it.
"""

from __future__ import annotations

import re
import shutil
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import IO

import msgspec
from msgspec import Struct

from loader.reading.source import Source
from service.core.backups.format.zip_archive import CHUNK
from service.core.errors import NotFoundError, StorageError
from service.core.tables import TABLES, by_path
from service.core.temporary_files import storage_errors
from service.core.threads import in_thread
from service.core.writes.merge import OnConflict
from service.web.console.jobs import Job, Jobs

NAME_BYTES = 100
"""File systems allow 255. The name of the rejects file is longer than that of the file."""
PARTIAL = ".partial"
"""The name of a file that is not complete."""
GONE = (
    "The files of this load are not on this server. Reload the page and choose them again. If that "
    "does not help, tell the operator that all servers need the same folder as REJECTS_DIR."
)
_unsafe = re.compile(r"[^\w.-]")


class LoadFile(Struct, frozen=True):
    """A file of a load: its number in the folder of the upload, its table by path, its name."""

    number: int
    table: str
    name: str

    @property
    def order(self) -> int:
        """Parents come first."""
        return TABLES.index(by_path(self.table))


class LoadOptions(Struct, frozen=True):
    """The files of a load in their order, and how it treats their rows."""

    files: list[LoadFile]
    on_conflict: OnConflict = "reject"
    assume_utc: bool = False

    @classmethod
    def of(cls, job: Job) -> LoadOptions:
        """The options of a load."""
        return msgspec.convert(job.options, cls)

    def sources(self, jobs: Jobs, job: Job) -> list[Source]:
        """The files of a job, in their order."""
        folder = jobs.folder(job.id)
        return [
            Source(by_path(file.table), folder / str(file.number) / file.name, file.name)
            for file in self.files
        ]


def title_of(files: list[LoadFile]) -> str:
    """What a load does, in a few words."""
    if len(files) == 1:
        return f"Load {files[0].name} into {files[0].table}"
    tables = dict.fromkeys(file.table for file in files)
    return f"Load {len(files)} files into {', '.join(tables)}"


_storage_errors = partial(
    storage_errors,
    "The folder of uploads and rejects (REJECTS_DIR) cannot be used",
    "Make room there and allow the service to read and write it, then try again.",
)


def safe_name(name: str) -> str:
    """A safe file name of at most NAME_BYTES; its end is kept, because it shows the format."""
    safe = _unsafe.sub("_", Path(name).name).encode()[-NAME_BYTES:].decode(errors="ignore")
    return safe.lstrip(".") or "rows.csv"


def store(upload: IO[bytes], folder: Path, number: int, name: str) -> Path:
    """Copy a file into the folder of its upload. It replaces the file with the same number."""
    path = folder / str(number) / name
    with _storage_errors():
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        try:
            _copy(upload, path)
        except BaseException:
            delete(path.parent)
            with suppress(OSError):  # it has other files
                folder.rmdir()
            raise
    return path


def _copy(upload: IO[bytes], path: Path) -> None:
    delete(path.parent)
    path.parent.mkdir()
    upload.seek(0)
    partial_file = path.with_name(PARTIAL)
    with partial_file.open("wb") as copy:
        shutil.copyfileobj(upload, copy, CHUNK)
    partial_file.rename(path)


def delete(folder: Path) -> None:
    """Delete a folder, if it is there."""
    shutil.rmtree(folder, ignore_errors=True)


def uploaded_name(folder: Path, number: int) -> str:
    """The name of a file that was uploaded; NotFoundError."""
    with _storage_errors(), suppress(FileNotFoundError):
        for path in (folder / str(number)).iterdir():
            if path.name != PARTIAL:
                return path.name
    raise NotFoundError(GONE)


def move(upload: Path, folder: Path) -> None:
    """Rename the folder of an upload to that of its new job; NotFoundError, StorageError."""
    with _storage_errors():
        try:
            upload.rename(folder)
        except FileNotFoundError:
            raise NotFoundError(GONE) from None


async def existing(path: Path) -> Path:
    """The path; StorageError if this replica cannot see the file."""
    with _storage_errors():
        if await in_thread(path.is_file):
            return path
    raise StorageError(GONE)
