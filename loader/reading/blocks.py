"""The records of a file, block by block.

The end of a block depends only on its start and the content, so that a load can be resumed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from loader.reading.layout import CsvLayout, Record
from loader.reading.pieces import Pieces, Sizes
from loader.reading.splitter import BLANK, Block, Splitter
from service.core.writes.checkpoint import Position

BLOCK = 1 << 19
"""Bytes in a block: about 10,000 hires."""
LARGE_BLOCK = 1 << 20
"""Bytes in a block of long lines. With few rows, the round trips of its transaction cost most."""
SMALL_BLOCK = 1 << 17
"""Bytes in a block whose transaction must stay below a megabyte of the server's log."""
LONGEST = 1 << 20
"""Bytes that a record may have: the search for the end of a quoted field stops there."""

BOM = b"\xef\xbb\xbf"


def blocks(
    file: BinaryIO, layout: CsvLayout, start: Position, *, size: int = LARGE_BLOCK
) -> Iterator[Block]:
    """The records from `start` on, with their fields in the order of the table.

    size: the most bytes of a block, unless a record is longer.
    """
    header = layout.header and start.line == 1
    splitter = splitter_of(layout)
    for block in _blocks(pieces_of(file, start, size), splitter):
        if header:
            # Blank lines may stand before the header.
            first = next((at for at, one in enumerate(block.records) if one != BLANK), None)
            if first is None:
                continue
            block.keep(range(first + 1, len(block.records)))
            header = False
        yield arranged(block, layout)


def arranged(block: Block, layout: CsvLayout) -> Block:
    """The block with its fields in the order of the table, and its keys."""
    if layout.keyed:
        block.keys = [layout.key(text) for text in block.texts]
    block.records = layout.arrange(block.records)
    return block


def pieces_of(file: BinaryIO, start: Position, size: int) -> Pieces:
    """The pieces of a file, each of which is a block; size: the most bytes of one."""
    return Pieces(file, start, Sizes(min(BLOCK, size), size, LONGEST))


def splitter_of(layout: CsvLayout) -> Splitter:
    """The splitter for files of this layout."""
    if "id" not in layout.columns:  # a line of a quoted field may look like a record
        return Splitter(layout.delimiter, blank_rows=layout.width == 1)
    return Splitter(layout.delimiter, layout.width, layout.lead + layout.columns.index("id"))


def beginning(file: BinaryIO, delimiter: str) -> tuple[Position, Record]:
    """The start of the text in a file, and its first record: () for an empty file."""
    start = Position(len(BOM)) if file.read(len(BOM)) == BOM else Position()
    first = next(_blocks(pieces_of(file, start, BLOCK), Splitter(delimiter)), None)
    return start, first.records[0] if first else ()


def _blocks(pieces: Pieces, splitter: Splitter) -> Iterator[Block]:
    while piece := pieces.read():
        block = splitter.block(piece)
        pieces.confirm(piece, block.end)
        if block.records:
            yield block
