"""Avro object container files: writes them, and reads them without trusting them.

Sizes, counts and sync markers are checked here, before anything is inflated or decoded. The sync
marker of our files is a hash of their header, so that every block confirms the header.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from service.core.backups.format import codecs
from service.core.backups.format.codecs import CODECS, Codec
from service.core.errors import BackupError

MAGIC = b"Obj\x01"
SYNC = 16
OURS = "hirebase."
"""The prefix of our metadata keys."""

MAX_HEADER = 1 << 20
MAX_ENTRIES = 1000
MAX_BLOCKS = 1_000_000
MAX_ROWS = 20_000_000
MAX_BLOCK = 16 << 20
MAX_INFLATED = 16 << 30


def write_header(metadata: dict[str, bytes]) -> tuple[bytes, bytes]:
    """(header, its sync marker)."""
    entries = [_sized(key.encode()) + _sized(value) for key, value in metadata.items()]
    head = MAGIC + write_long(len(entries)) + b"".join(entries) + write_long(0)
    sync = _sync_marker(head)
    return head + sync, sync


def write_block(count: int, data: bytes, sync: bytes) -> bytes:
    """A block of `count` rows that are already compressed."""
    return write_long(count) + _sized(data) + sync


def write_long(value: int) -> bytes:
    """Encode a long as Avro does: zigzag, seven bits a byte."""
    value = value << 1 ^ value >> 63
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


@dataclass(frozen=True)
class Block:
    """The position of a block's compressed rows in the file."""

    number: int
    count: int
    offset: int
    size: int


class Container:
    """A container file: a header, then blocks. BackupError says what is wrong and where."""

    def __init__(self, file: IO[bytes]):
        self._file = file
        self.size = file.seek(0, os.SEEK_END)
        file.seek(0)
        self._head = _Bytes(file.read(MAX_HEADER))
        self.metadata = self._read_metadata()
        self._sync = self._read_sync()
        self.codec = self._codec()
        self._body = self._head.at

    @property
    def ours(self) -> bool:
        """Whether hirebase wrote the file."""
        return any(key.startswith(OURS) for key in self.metadata)

    def text(self, key: str) -> str:
        """A metadata value; BackupError if it is missing or not UTF-8."""
        try:
            return self.metadata[key].decode()
        except KeyError:
            raise BackupError(f"This Avro file is damaged: its header has no {key}.") from None
        except UnicodeDecodeError:
            raise BackupError(f"This Avro file is damaged: its {key} is not UTF-8.") from None

    def blocks(self) -> Iterator[Block]:
        """Every block in turn. Its size and its sync marker are checked."""
        offset, rows = self._body, 0
        for number in range(1, MAX_BLOCKS + 2):
            if offset == self.size:
                return
            block = self._frame(number, offset)
            rows += block.count
            if rows > MAX_ROWS or number > MAX_BLOCKS:
                raise BackupError(
                    f"This Avro file is too large: the limit is {MAX_ROWS} rows in {MAX_BLOCKS} "
                    "blocks."
                )
            yield block
            offset = block.offset + block.size + SYNC

    def rows(self, block: Block) -> bytes:
        """The inflated rows of a block."""
        data = self._read(block.offset, block.size)
        try:
            return codecs.inflate(self.codec, data, MAX_BLOCK)
        except BackupError as error:
            raise _damaged(block.number, block.offset, str(error)) from None

    def _read_metadata(self) -> dict[str, bytes]:
        try:
            if self._head.read(len(MAGIC)) != MAGIC:
                raise BackupError("This is not an Avro file: it does not begin with Obj 1.")
            return dict(_entries(self._head))
        except (EOFError, UnicodeDecodeError):
            raise BackupError("This Avro file is damaged: its header cannot be read.") from None

    def _read_sync(self) -> bytes:
        head = self._head.consumed()
        try:
            sync = self._head.read(SYNC)
        except EOFError:
            raise BackupError("This Avro file is damaged: its header is cut short.") from None
        if self.ours and sync != _sync_marker(head):
            raise BackupError("This Avro file is damaged: its header was changed.")
        return sync

    def _codec(self) -> Codec:
        name = self.metadata.get("avro.codec", b"null").decode(errors="replace") or "null"
        for codec in CODECS:
            if codec == name:
                return codec
        raise BackupError(f"The codec {name[:40]!r} is unknown. Use one of {', '.join(CODECS)}.")

    def _frame(self, number: int, offset: int) -> Block:
        start = _Bytes(self._read(offset, 20))
        try:
            count, size = start.long(), start.long()
        except EOFError:
            raise _damaged(number, offset, "it is cut short") from None
        block = Block(number, count, offset + start.at, size)
        self._check(block)
        return block

    def _check(self, block: Block) -> None:
        end = block.offset + block.size
        if block.count < 1 or block.size < 1 or block.size > 2 * MAX_BLOCK:
            raise _damaged(
                block.number, block.offset, f"it claims {block.count} rows in {block.size} bytes"
            )
        if end + SYNC > self.size:
            raise _damaged(block.number, block.offset, "it is cut short")
        if self._read(end, SYNC) != self._sync:
            raise _damaged(block.number, end, "it does not end in the file's sync marker")

    def _read(self, offset: int, size: int) -> bytes:
        self._file.seek(offset)
        return self._file.read(size)


class _Bytes:
    """Reads bytes from the front; EOFError at their end."""

    def __init__(self, data: bytes):
        self._data, self.at = data, 0

    def read(self, count: int) -> bytes:
        data = self._data[self.at : self.at + count] if count >= 0 else b""
        if len(data) != count:
            raise EOFError
        self.at += count
        return data

    def long(self) -> int:
        value = 0
        for shift in range(0, 70, 7):
            byte = self.read(1)[0]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value >> 1 ^ -(value & 1)
        raise EOFError

    def consumed(self) -> bytes:
        return self._data[: self.at]


def _entries(head: _Bytes) -> Iterator[tuple[str, bytes]]:
    total = 0
    while count := head.long():
        if count < 0:
            head.long()  # the size in bytes, for readers that skip the entries
        total += abs(count)
        if total > MAX_ENTRIES:
            raise EOFError
        for _ in range(abs(count)):
            yield head.read(head.long()).decode(), head.read(head.long())


def _sized(data: bytes) -> bytes:
    return write_long(len(data)) + data


def _sync_marker(head: bytes) -> bytes:
    return hashlib.sha256(head).digest()[:SYNC]


def _damaged(number: int, offset: int, reason: str) -> BackupError:
    return BackupError(f"This Avro file is damaged in block {number}, at byte {offset}: {reason}.")
