"""A ZIP of Avro files: written as a stream, entries stored; read with nothing taken on trust.

The manifest has the size and the SHA-256 of every entry. Archives of other programs are read too,
if they hold only the entries that ours do.
"""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from contextlib import ExitStack
from typing import IO, Any, Self

from service.core.errors import BackupError, StorageError
from service.core.tables import TABLES
from service.core.temporary_files import storage_errors

MANIFEST = "manifest.json"
NAMES = frozenset({MANIFEST, *(f"{table.name}.avro" for table in TABLES)})
MAX_MANIFEST = 1 << 20
MAX_RATIO = 20
CHUNK = 1 << 20


class ArchiveWriter:
    """A ZIP in the making: entry after entry, then the directory; each call gives its bytes.

    Use it as a context manager: it may be abandoned in the middle.
    """

    def __init__(self) -> None:
        self._out = _Stream()
        self._open = ExitStack()
        self._zip = self._open.enter_context(zipfile.ZipFile(self._out, "w"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._open.close()

    def begin(self, name: str) -> bytes:
        """What stands before an entry's data."""
        # The date is fixed, so that the same rows make the same archive.
        info = zipfile.ZipInfo(name)
        info.external_attr = 0o100600 << 16
        self._entry = self._open.enter_context(self._zip.open(info, "w", force_zip64=True))
        self._size, self._hash = 0, hashlib.sha256()
        return self._out.take()

    def data(self, data: bytes) -> bytes:
        """A piece of the entry's data, as it is stored."""
        self._entry.write(data)
        self._size += len(data)
        self._hash.update(data)
        return self._out.take()

    def end(self) -> tuple[bytes, int, str]:
        """(what stands after the entry's data, the size of the data, its SHA-256)."""
        self._entry.close()
        return self._out.take(), self._size, self._hash.hexdigest()

    def finish(self) -> bytes:
        """The directory."""
        self._open.close()
        return self._out.take()


class _Stream(io.RawIOBase):
    """A write-only stream that holds what was written until it is taken."""

    def __init__(self) -> None:
        self._written = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._written += data
        return len(data)

    def take(self) -> bytes:
        taken = bytes(self._written)
        self._written.clear()
        return taken


class Archive:
    """A ZIP of backups; BackupError says what is wrong with it."""

    def __init__(self, file: IO[bytes]):
        self._size = file.seek(0, os.SEEK_END)
        try:
            self._zip = zipfile.ZipFile(_InChunks(file))
        except BackupError:
            raise
        except Exception as error:  # zipfile raises whatever a broken directory leads to
            raise BackupError(f"This is no whole ZIP: {error}") from None
        self._infos = {info.filename: info for info in self._zip.infolist()}
        self._refuse_strangers()

    @property
    def names(self) -> frozenset[str]:
        """The names of its entries."""
        return frozenset(self._infos)

    def extract(self, name: str, file: IO[bytes]) -> None:
        """Copy an entry into a file, its CRC-32 checked."""
        info = self._infos[name]
        if info.file_size > MAX_RATIO * self._size:
            raise BackupError(f"The entry {name} of this ZIP inflates more than {MAX_RATIO} times.")
        try:
            with self._zip.open(info) as entry:
                _copy(entry, file, info.file_size)
        except StorageError:
            raise
        except Exception as error:  # as above
            raise BackupError(f"The entry {name} of this ZIP is damaged: {error}") from None

    def manifest(self) -> bytes | None:
        """The manifest, if there is one."""
        if MANIFEST not in self._infos:
            return None
        if self._infos[MANIFEST].file_size > MAX_MANIFEST:
            raise BackupError(f"The {MANIFEST} of this ZIP is larger than 1 MiB.")
        content = io.BytesIO()
        self.extract(MANIFEST, content)
        return content.getvalue()

    def _refuse_strangers(self) -> None:
        infos = self._zip.infolist()
        for info in infos:
            if info.filename not in NAMES:
                raise BackupError(
                    f"A ZIP of backups does not hold {info.filename[:80]!r}, only "
                    f"{', '.join(sorted(NAMES))}."
                )
            if info.comment:  # a wrong length makes a comment of the entries that follow
                raise BackupError(f"The entry {info.filename} has a comment.")
            if info.flag_bits & 0x41:
                raise BackupError(f"The entry {info.filename} is encrypted.")
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise BackupError(f"The entry {info.filename} is neither stored nor deflated.")
        if len(self._infos) < len(infos):
            raise BackupError("This ZIP has two entries of one name.")


class _InChunks:
    """A file that is read in chunks: zipfile reads a directory of any size at once."""

    def __init__(self, file: IO[bytes]):
        self._file = file
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable

    def read(self, size: int = -1, /) -> bytes:
        if size > CHUNK:
            raise BackupError(
                f"This ZIP is damaged, or no backup: its directory has {size} bytes, "
                f"{CHUNK} are the limit."
            )
        return self._file.read(size)


def _copy(entry: IO[bytes], file: IO[bytes], size: int) -> None:
    left = size
    while chunk := entry.read(CHUNK):
        left -= len(chunk)
        with storage_errors():
            file.write(chunk)
    with storage_errors():
        file.flush()
    if left:
        raise EOFError("it is not as long as the directory says")
