"""Avro object container files: writes them, and reads them without trusting them.

Sizes, counts and sync markers are checked here, before anything is inflated or decoded. The sync
marker of our files is a hash of their header, so that every block confirms the header.
"""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from service.core.backups.format import codecs, totals
from service.core.backups.format.binary import Bytes, write_bytes, write_long
from service.core.backups.format.checksum import Checksum
from service.core.backups.format.codecs import CODECS, Codec
from service.core.errors import BackupError, DamagedError

MAGIC = b"Obj\x01"
SYNC = 16
OURS = "hirebase."
"""The prefix of our metadata keys."""

MAX_HEADER = 1 << 20
MAX_ENTRIES = 1000
MAX_BLOCK = 16 << 20
MAX_TOTALS = 128
"""The most bytes of the block with the totals."""
MAX_RATIO = 2000
"""A file must not inflate to more than this many times its size. If all hires have the same name of
255 emojis, zstandard reaches 420, deflate 70."""
FREE_ROWS, FREE_BYTES = 1 << 20, 64 << 20
"""Small files may have a row for each byte and these more, and inflate to this size."""


def write_header(metadata: dict[str, bytes]) -> tuple[bytes, bytes]:
    """(header, its sync marker)."""
    entries = [write_bytes(key.encode()) + write_bytes(value) for key, value in metadata.items()]
    head = MAGIC + write_long(len(entries)) + b"".join(entries) + write_long(0)
    sync = _sync_marker(head)
    return head + sync, sync


def write_block(count: int, data: bytes, sync: bytes) -> bytes:
    """A block of `count` rows that are already compressed."""
    return write_long(count) + write_bytes(data) + sync


@dataclass(frozen=True)
class Block:
    """The position of a block's compressed rows in the file."""

    number: int
    count: int
    offset: int
    size: int

    @property
    def end(self) -> int:
        """The position behind its sync marker."""
        return self.offset + self.size + SYNC


class Container:
    """A container file: a header, then blocks. BackupError says what is wrong and where."""

    def __init__(self, file: IO[bytes]):
        self._file = file
        self.size = file.seek(0, os.SEEK_END)
        file.seek(0)
        self._head = Bytes(file.read(MAX_HEADER))
        self.metadata = self._read_metadata()
        self._sync = self._read_sync()
        self.codec = self._codec()
        self._body, self._end = self._head.at, self.size

    @property
    def ours(self) -> bool:
        """Whether hirebase wrote the file."""
        return any(key.startswith(OURS) for key in self.metadata)

    def text(self, key: str) -> str:
        """A metadata value; BackupError if it is missing or not UTF-8."""
        try:
            return self.metadata[key].decode()
        except KeyError:
            raise DamagedError(f"This Avro file is damaged: its header has no {key}.") from None
        except UnicodeDecodeError:
            raise DamagedError(f"This Avro file is damaged: its {key} is not UTF-8.") from None

    def take_totals(self) -> Checksum:
        """The totals of a file of ours, from its last block. `blocks` then ends before it."""
        offset = self._last_block()
        try:
            block = self._frame(0, offset)
            if block.count or block.size < 1 or block.end != self.size:
                raise BackupError("it is no block of totals")
            self._check_end(block)
            total = totals.read(codecs.inflate(self.codec, self._data(block), MAX_TOTALS))
        except BackupError:
            raise DamagedError(
                "This backup is cut short or damaged: it does not end in the totals of its rows."
            ) from None
        self._end = offset
        return total

    def blocks(self) -> Iterator[Block]:
        """Every block in turn. Its size and its sync marker are checked."""
        offset, rows = self._body, 0
        for number in itertools.count(1):
            if offset == self._end:
                return
            block = self._frame(number, offset)
            self._check(block)
            rows += block.count
            if rows > FREE_ROWS + self.size:
                raise BackupError(
                    f"This Avro file claims more than {FREE_ROWS + self.size} rows, which is too "
                    f"much for its {self.size} bytes."
                )
            yield block
            offset = block.end

    def contents(self) -> Iterator[tuple[Block, bytes]]:
        """Every block and its inflated rows."""
        inflated, limit = 0, max(FREE_BYTES, MAX_RATIO * self.size)
        for block in self.blocks():
            data = self.rows(block)
            inflated += len(data)
            if inflated > limit:
                raise BackupError(
                    f"This Avro file inflates to more than {limit} bytes, which is too much for "
                    f"its {self.size} bytes."
                )
            yield block, data

    def rows(self, block: Block) -> bytes:
        """The inflated rows of a block."""
        try:
            return codecs.inflate(self.codec, self._data(block), MAX_BLOCK)
        except BackupError as error:
            raise _damaged(block.number, block.offset, str(error)) from None

    def _read_metadata(self) -> dict[str, bytes]:
        try:
            if self._head.read(len(MAGIC)) != MAGIC:
                raise BackupError("This is not an Avro file: it does not begin with Obj 1.")
            return dict(_entries(self._head))
        except (EOFError, UnicodeDecodeError):
            raise DamagedError("This Avro file is damaged: its header cannot be read.") from None

    def _read_sync(self) -> bytes:
        head = self._head.consumed()
        try:
            sync = self._head.read(SYNC)
        except EOFError:
            raise DamagedError("This Avro file is damaged: its header is cut short.") from None
        if self.ours and sync != _sync_marker(head):
            raise DamagedError("This Avro file is damaged: its header was changed.")
        return sync

    def _codec(self) -> Codec:
        name = self.metadata.get("avro.codec", b"null").decode(errors="replace") or "null"
        for codec in CODECS:
            if codec == name:
                return codec
        raise BackupError(f"The codec {name[:40]!r} is unknown. Use one of {', '.join(CODECS)}.")

    def _frame(self, number: int, offset: int) -> Block:
        start = Bytes(self._read(offset, 20))
        try:
            count, size = start.long(), start.long()
        except EOFError:
            raise _damaged(number, offset, "it is cut short") from None
        return Block(number, count, offset + start.at, size)

    def _last_block(self) -> int:
        """The offset behind the last sync marker but one."""
        start = max(self._body - SYNC, self.size - MAX_TOTALS)
        tail = self._read(start, self.size - start)
        return start + tail.rfind(self._sync, 0, -SYNC) + SYNC

    def _check(self, block: Block) -> None:
        if block.count < 1 or not 1 <= block.size <= 2 * MAX_BLOCK:
            raise _damaged(
                block.number, block.offset, f"it claims {block.count} rows in {block.size} bytes"
            )
        self._check_end(block)

    def _check_end(self, block: Block) -> None:
        if block.end > self._end:
            raise _damaged(block.number, block.offset, "it is cut short")
        if self._read(block.end - SYNC, SYNC) != self._sync:
            raise _damaged(
                block.number, block.end - SYNC, "it does not end in the file's sync marker"
            )

    def _data(self, block: Block) -> bytes:
        return self._read(block.offset, block.size)

    def _read(self, offset: int, size: int) -> bytes:
        self._file.seek(offset)
        return self._file.read(size)


def _entries(head: Bytes) -> Iterator[tuple[str, bytes]]:
    total = 0
    while count := head.long():
        if count < 0:
            head.long()  # the size in bytes, for readers that skip the entries
        total += abs(count)
        if total > MAX_ENTRIES:
            raise EOFError
        for _ in range(abs(count)):
            yield head.read(head.long()).decode(), head.read(head.long())


def _sync_marker(head: bytes) -> bytes:
    return hashlib.sha256(head).digest()[:SYNC]


def _damaged(number: int, offset: int, reason: str) -> BackupError:
    return DamagedError(f"This Avro file is damaged in block {number}, at byte {offset}: {reason}.")
