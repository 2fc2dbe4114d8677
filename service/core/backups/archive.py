"""A ZIP of Avro files: written as a stream, entries stored; read with nothing taken on trust.

Ours are written in one way only, so that each byte of one can be told from its entries: a byte
that differs is damage. Archives of others are read too, if they hold nothing but what ours do.
"""

from __future__ import annotations

import hashlib
import io
import os
import struct
import zipfile
import zlib
from dataclasses import dataclass
from typing import IO

from service.core.errors import BackupError
from service.core.tables import TABLES

MANIFEST = "manifest.json"
NAMES = frozenset({MANIFEST, *(f"{table.name}.avro" for table in TABLES)})
MAX_MANIFEST = 1 << 20
MAX_DIRECTORY = 1 << 20
MAX_RATIO = 20
CHUNK = 1 << 20

_VERSION = 45  # of the format: ZIP64
_LATER = 0x08  # flag: sizes follow the data
_DATE = 0x21  # 1980-01-01, so that the same rows make the same archive
_HERE = 0xFFFFFFFF  # the real value is in the ZIP64 field
_LOCAL = struct.Struct("<4s5H3L2H")
_CENTRAL = struct.Struct("<4s6H3L5H2L")


@dataclass(frozen=True)
class Entry:
    """What the archive's directory says of an entry."""

    name: str
    offset: int
    size: int
    crc: int

    @property
    def start(self) -> int:
        """Where its data begins, in an archive of ours."""
        return self.offset + len(_local(self.name))


class ArchiveWriter:
    """A ZIP in the making: entry after entry, then the directory."""

    def __init__(self) -> None:
        self._entries: list[Entry] = []
        self._at = 0

    def begin(self, name: str) -> bytes:
        """What stands before an entry's data."""
        self._name, self._size, self._crc = name, 0, 0
        self._hash = hashlib.sha256()
        return _local(name)

    def data(self, data: bytes) -> bytes:
        """A piece of the entry's data, as it is stored."""
        self._size += len(data)
        self._crc = zlib.crc32(data, self._crc)
        self._hash.update(data)
        return data

    def end(self) -> tuple[bytes, int, str]:
        """(what stands after the entry's data, the size of the data, its SHA-256)."""
        entry = Entry(self._name, self._at, self._size, self._crc)
        self._entries.append(entry)
        self._at = entry.start + entry.size + len(_descriptor(entry))
        return _descriptor(entry), self._size, self._hash.hexdigest()

    def finish(self) -> bytes:
        """The directory."""
        return _directory(self._entries)


class Archive:
    """A ZIP of backups; BackupError says what is wrong with it."""

    def __init__(self, file: IO[bytes]):
        self._file = file
        self._size = file.seek(0, os.SEEK_END)
        count = _entries_claimed(file)
        try:
            self._zip = zipfile.ZipFile(file)
        except Exception as error:  # zipfile raises whatever a broken directory leads to
            raise BackupError(f"This is no whole ZIP: {error}") from None
        self._infos = {info.filename: info for info in self._zip.infolist()}
        if len(self._zip.infolist()) != count:
            raise BackupError("This ZIP is damaged: its directory does not hold what it says.")
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

    def check_frame(self) -> None:
        """BackupError if any byte beside the entries' data is not as we write it."""
        at, entries = 0, []
        for info in sorted(self._infos.values(), key=lambda info: info.header_offset):
            entry = Entry(info.filename, at, info.file_size, info.CRC)
            entries.append(entry)
            self._expect(at, _local(entry.name))
            self._expect(entry.start + entry.size, _descriptor(entry))
            at = entry.start + entry.size + len(_descriptor(entry))
        self._expect(at, _directory(entries))
        if at + len(_directory(entries)) != self._size:
            raise BackupError("This ZIP is damaged: it does not end where it should.")

    def _expect(self, at: int, wanted: bytes) -> None:
        self._file.seek(min(at, self._size))
        if self._file.read(len(wanted)) != wanted:
            raise BackupError(f"This ZIP is damaged between bytes {at} and {at + len(wanted)}.")

    def _refuse_strangers(self) -> None:
        infos = self._zip.infolist()
        for info in infos:
            if info.filename not in NAMES:
                raise BackupError(
                    f"A ZIP of backups does not hold {info.filename[:80]!r}, only "
                    f"{', '.join(sorted(NAMES))}."
                )
            if info.flag_bits & 0x41:
                raise BackupError(f"The entry {info.filename} is encrypted.")
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise BackupError(f"The entry {info.filename} is neither stored nor deflated.")
        if len(self._infos) < len(infos):
            raise BackupError("This ZIP has two entries of one name.")


def _entries_claimed(file: IO[bytes]) -> int:
    """The number of entries, before zipfile makes an object of each; BackupError for too many."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - (1 << 16) - 22))
    tail = file.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) < at + 22:
        raise BackupError("This is no whole ZIP: its directory is missing.")
    count, length = struct.unpack("<HL", tail[at + 10 : at + 16])
    if count == 0xFFFF or length == _HERE:
        at = tail.rfind(b"PK\x06\x06")
        if at < 0 or len(tail) < at + 56:
            raise BackupError("This is no whole ZIP: its directory is missing.")
        count, length = struct.unpack("<QQ", tail[at + 32 : at + 48])
    if count > len(NAMES) or length > MAX_DIRECTORY:
        raise BackupError(f"This ZIP has {count} entries, {len(NAMES)} are the limit.")
    return int(count)


def _copy(entry: IO[bytes], file: IO[bytes], size: int) -> None:
    left = size
    while chunk := entry.read(CHUNK):
        left -= len(chunk)
        file.write(chunk)
    if left:
        raise EOFError("it is not as long as the directory says")


def _local(name: str) -> bytes:
    raw = name.encode()
    wide = struct.pack("<HHQQ", 1, 16, 0, 0)
    head = (_VERSION, _LATER, 0, 0, _DATE, 0, _HERE, _HERE, len(raw), len(wide))
    return _LOCAL.pack(b"PK\x03\x04", *head) + raw + wide


def _descriptor(entry: Entry) -> bytes:
    return struct.pack("<4sLQQ", b"PK\x07\x08", entry.crc, entry.size, entry.size)


def _directory(entries: list[Entry]) -> bytes:
    central = b"".join(map(_central, entries))
    last = entries[-1]
    at = last.start + last.size + len(_descriptor(last))
    count = len(entries)
    return (
        central
        + struct.pack(
            "<4sQ2H2L4Q",
            b"PK\x06\x06",
            44,
            _VERSION,
            _VERSION,
            0,
            0,
            count,
            count,
            len(central),
            at,
        )
        + struct.pack("<4sLQL", b"PK\x06\x07", 0, at + len(central), 1)
        + struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, _HERE, _HERE, 0)
    )


def _central(entry: Entry) -> bytes:
    raw = entry.name.encode()
    wide = struct.pack("<HHQQQ", 1, 24, entry.size, entry.size, entry.offset)
    unix, readable = _VERSION | 3 << 8, 0o100600 << 16
    head = (unix, _VERSION, _LATER, 0, 0, _DATE, entry.crc, _HERE, _HERE, len(raw), len(wide))
    return _CENTRAL.pack(b"PK\x01\x02", *head, 0, 0, 0, readable, _HERE) + raw + wide
