"""The records of a file, block by block.

The end of a block depends only on its start and the content, so that a load can be resumed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from loader.reading.layout import CsvLayout, Record
from loader.reading.splitter import BLANK, Block, Splitter, first_line_end
from service.core.writes.checkpoint import Position

BLOCK = 1 << 19
"""Bytes in a block: about 10,000 hires."""
SMALL_BLOCK = 1 << 17
"""Bytes in a block whose transaction must stay below a megabyte of the server's log."""
LONGEST = 1 << 20
"""Bytes that a record may have: the search for the end of a quoted field stops there."""

BOM = b"\xef\xbb\xbf"


def blocks(
    file: BinaryIO, layout: CsvLayout, start: Position, *, size: int = BLOCK
) -> Iterator[Block]:
    """The records from `start` on, with their fields in the order of the table.

    size: the bytes of a block, unless a record is longer.
    """
    header = layout.header and start.line == 1
    splitter = _splitter(layout)
    for block in _blocks(file, splitter, start, min(BLOCK, size)):
        if header:
            # Blank lines may stand before the header.
            first = next((at for at, one in enumerate(block.records) if one != BLANK), None)
            if first is None:
                continue
            block.keep(range(first + 1, len(block.records)))
            header = False
        if layout.keyed:
            block.keys = [layout.key(text) for text in block.texts]
        block.records = layout.arrange(block.records)
        yield block


def _splitter(layout: CsvLayout) -> Splitter:
    if "id" not in layout.columns:  # a line of a quoted field may look like a record
        return Splitter(layout.delimiter, blank_rows=layout.width == 1)
    return Splitter(layout.delimiter, layout.width, layout.lead + layout.columns.index("id"))


def beginning(file: BinaryIO, delimiter: str) -> tuple[Position, Record]:
    """The start of the text in a file, and its first record: () for an empty file."""
    start = Position(len(BOM)) if file.read(len(BOM)) == BOM else Position()
    first = next(_blocks(file, Splitter(delimiter), start, BLOCK), None)
    return start, first.records[0] if first else ()


def _blocks(
    file: BinaryIO, splitter: Splitter, start: Position, block_size: int
) -> Iterator[Block]:
    file.seek(start.byte)
    buffer, size = b"", block_size
    while True:
        buffer += file.read(max(size - len(buffer), 0))
        data = buffer[:size]
        last, longest = len(data) < size, size >= LONGEST
        if longest and not last and not first_line_end(data):
            length, following = _skip_line(file, data)
            block = splitter.too_long(data, start, length)
        else:
            block = splitter.split(data, start, last=last, longest=longest)
            following = buffer[block.end.byte - start.byte :]
        if block.records:
            yield block
        used = block.end.byte - start.byte
        buffer, start = following, block.end
        size = block_size if used else size * 2
        if last and not buffer:
            return


def _skip_line(file: BinaryIO, data: bytes) -> tuple[int, bytes]:
    """The length of the line that begins with `data`, and the bytes read after it."""
    held = data[-1:] if data.endswith(b"\r") else b""
    length = len(data) - len(held)
    while chunk := file.read(BLOCK):
        chunk = held + chunk
        if end := first_line_end(chunk):
            return length + end, chunk[end:]
        held = chunk[-1:] if chunk.endswith(b"\r") else b""
        length += len(chunk) - len(held)
    return length + len(held), b""
