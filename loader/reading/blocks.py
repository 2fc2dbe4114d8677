"""The records of a file, block by block.

A block's end depends on its start and the content alone: that is what a load is resumed by.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from loader.reading.layout import CsvLayout, Record
from loader.reading.splitter import BLANK, Block, Position, Splitter, has_line_end

BLOCK = 1 << 19
"""Bytes in a block: about 10,000 hires."""
SMALL_BLOCK = 1 << 17
"""The same where a transaction is to stay below a megabyte of the server's log."""
LONGEST = 1 << 20
"""Bytes that a record may have; the end of a quoted field is looked for no further."""

BOM = b"\xef\xbb\xbf"


def blocks(
    file: BinaryIO, layout: CsvLayout, start: Position, *, small: bool = False
) -> Iterator[Block]:
    """The records from `start` on, their fields in the table's order."""
    header = layout.header and start.line == 1
    splitter = _splitter(layout)
    for block in _blocks(file, splitter, start, min(BLOCK, SMALL_BLOCK) if small else BLOCK):
        if header:
            # Blank lines may stand before the header.
            first = next((at for at, one in enumerate(block.records) if one != BLANK), None)
            if first is None:
                continue
            block.keep(range(first + 1, len(block.records)))
            header = False
        block.records = layout.arrange(block.records)
        yield block


def _splitter(layout: CsvLayout) -> Splitter:
    if "id" not in layout.columns:  # nothing tells a record from a line of a quoted field
        return Splitter(layout.delimiter, blank_rows=layout.width == 1)
    return Splitter(layout.delimiter, layout.width, layout.lead + layout.columns.index("id"))


def beginning(file: BinaryIO, delimiter: str) -> tuple[Position, Record]:
    """Where the text of a file begins, and its first record; an empty one for an empty file."""
    start = Position(len(BOM)) if file.read(len(BOM)) == BOM else Position()
    first = next(_blocks(file, Splitter(delimiter), start, BLOCK), None)
    return start, first.records[0] if first else ()


def _blocks(file: BinaryIO, splitter: Splitter, start: Position, usual: int) -> Iterator[Block]:
    file.seek(start.byte)
    ahead, size = b"", usual
    while True:
        ahead += file.read(max(size - len(ahead), 0))
        data = ahead[:size]
        last, longest = len(data) < size, size >= LONGEST
        if longest and not last and not has_line_end(data):
            block = splitter.too_long(ahead, start, _rest_of_line(file))
        else:
            block = splitter.split(data, start, last=last, longest=longest)
        if block.records:
            yield block
        used = block.end.byte - start.byte
        ahead, start = ahead[used:], block.end
        size = usual if used else size * 2
        if last and not ahead:
            return


def _rest_of_line(file: BinaryIO) -> int:
    read = 0
    while chunk := file.readline(BLOCK):
        read += len(chunk)
        if chunk.endswith(b"\n"):
            break
    return read
