"""ZIP archives of Avro files: written as a stream, and read without trusting them.

Entries are stored, not compressed. The manifest has the size and the SHA-256 of every entry.
Archives of other programs are read too, if they have no entries but those of ours.
"""

from __future__ import annotations

import hashlib
import io
import os
import struct
import zipfile
from contextlib import ExitStack
from typing import IO, Any, Self

from service.core.backups.format.window import window
from service.core.errors import BackupError, DamagedError, StorageError
from service.core.tables import TABLES
from service.core.temporary_files import storage_errors, temporary_file

MANIFEST = "manifest.json"
NAMES = frozenset({MANIFEST, *(f"{table.name}.avro" for table in TABLES)})
MAX_MANIFEST = 1 << 20
MAX_RATIO = 20
CHUNK = 1 << 20
LOCAL_HEADER = struct.Struct("<26xHH")
"""Of it, the lengths of the name and of the extra fields, which follow."""


class ArchiveWriter:
    """Writes a ZIP: entry after entry, then the directory. Each call returns the bytes to send.

    It is a context manager, so that it can be abandoned in the middle.
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
        """Begin an entry: the bytes before its data."""
        # The date is fixed: the same rows make the same archive.
        info = zipfile.ZipInfo(name)
        info.external_attr = 0o100600 << 16
        self._entry = self._open.enter_context(self._zip.open(info, "w", force_zip64=True))
        self._size, self._hash = 0, hashlib.sha256()
        return self._out.drain()

    def data(self, data: bytes) -> bytes:
        """A chunk of the entry's data."""
        self._entry.write(data)
        self._size += len(data)
        self._hash.update(data)
        return self._out.drain()

    def end(self) -> tuple[bytes, int, str]:
        """End the entry: (the bytes after its data, the size of the data, its SHA-256)."""
        self._entry.close()
        return self._out.drain(), self._size, self._hash.hexdigest()

    def finish(self) -> bytes:
        """The directory."""
        self._open.close()
        return self._out.drain()


class _Stream(io.RawIOBase):
    """A write-only stream that keeps its bytes until they are drained."""

    def __init__(self) -> None:
        self._written = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._written += data
        return len(data)

    def drain(self) -> bytes:
        data = bytes(self._written)
        self._written.clear()
        return data


class Archive:
    """Reads a ZIP of backups; BackupError says what is wrong with it."""

    def __init__(self, file: IO[bytes]):
        self._file, self._size = file, file.seek(0, os.SEEK_END)
        try:
            self._zip = zipfile.ZipFile(_InChunks(file))
        except BackupError:
            raise
        except Exception as error:  # zipfile raises many errors for a broken directory
            raise DamagedError(f"This ZIP is damaged: {error}.") from None
        self._infos = {info.filename: info for info in self._zip.infolist()}
        self._check_entries()

    @property
    def names(self) -> frozenset[str]:
        """The names of its entries."""
        return frozenset(self._infos)

    def open(self, name: str, stack: ExitStack) -> tuple[IO[bytes], str]:
        """(an entry as a file, its SHA-256). It is read once, and its CRC-32 is checked.

        A stored entry is read in place, a deflated one is copied into a temporary file.
        """
        info = self._infos[name]
        if info.compress_type == zipfile.ZIP_STORED:
            return window(self._file, self._start(info), info.file_size), self._read(info)
        file = stack.enter_context(temporary_file())
        sha256 = self._read(info, file)
        return file, sha256

    def manifest(self) -> bytes | None:
        """The manifest, if there is one."""
        if MANIFEST not in self._infos:
            return None
        if self._infos[MANIFEST].file_size > MAX_MANIFEST:
            raise BackupError(f"The {MANIFEST} of this ZIP is larger than 1 MiB.")
        content = io.BytesIO()
        self._read(self._infos[MANIFEST], content)
        return content.getvalue()

    def _start(self, info: zipfile.ZipInfo) -> int:
        """The position of an entry's data, behind its header with its name and extra fields."""
        self._file.seek(info.header_offset)
        header = self._file.read(LOCAL_HEADER.size)
        if len(header) < LOCAL_HEADER.size or info.compress_size != info.file_size:
            raise _damaged(info, "its sizes differ")
        name, extra = LOCAL_HEADER.unpack(header)
        return int(info.header_offset + LOCAL_HEADER.size + name + extra)

    def _read(self, info: zipfile.ZipInfo, copy: IO[bytes] | None = None) -> str:
        """The SHA-256 of an entry's data, which is checked, and copied if there is a copy."""
        if info.file_size > MAX_RATIO * self._size:
            raise BackupError(
                f"The entry {info.filename} of this ZIP inflates more than {MAX_RATIO} times."
            )
        try:
            with self._zip.open(info) as entry:
                return _digest(entry, info.file_size, copy)
        except StorageError:
            raise
        except Exception as error:  # zipfile raises many errors for damaged data
            raise _damaged(info, str(error)) from None

    def _check_entries(self) -> None:
        infos = self._zip.infolist()
        for info in infos:
            if info.filename not in NAMES:
                raise BackupError(
                    f"A ZIP of backups must not hold {info.filename[:80]!r}, only "
                    f"{', '.join(sorted(NAMES))}."
                )
            if info.comment:  # a wrong length makes a comment of the entries that follow
                raise BackupError(f"The entry {info.filename} has a comment.")
            if info.flag_bits & 0x41:
                raise BackupError(f"The entry {info.filename} is encrypted.")
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise BackupError(f"The entry {info.filename} is neither stored nor deflated.")
        if len(self._infos) < len(infos):
            raise BackupError("This ZIP has two entries with the same name.")


class _InChunks:
    """A file that is read in chunks: zipfile reads a directory of any size at once."""

    def __init__(self, file: IO[bytes]):
        self._file = file
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable

    def read(self, size: int = -1, /) -> bytes:
        if size > CHUNK:
            raise DamagedError(
                f"This ZIP is damaged, or is not a backup: its directory has {size} bytes, "
                f"the limit is {CHUNK}."
            )
        return self._file.read(size)


def _digest(entry: IO[bytes], size: int, copy: IO[bytes] | None) -> str:
    left, digest = size, hashlib.sha256()
    while chunk := entry.read(CHUNK):
        left -= len(chunk)
        digest.update(chunk)
        if copy:
            with storage_errors():
                copy.write(chunk)
    if copy:
        with storage_errors():
            copy.flush()
    if left:
        raise EOFError("its length differs from the directory")
    return digest.hexdigest()


def _damaged(info: zipfile.ZipInfo, reason: str) -> BackupError:
    return DamagedError(f"The entry {info.filename} of this ZIP is damaged: {reason}.")
