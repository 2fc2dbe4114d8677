"""Cuts a file into pieces of whole lines, each of which is split into records by itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import BinaryIO

from loader.reading.lines import count_lines, first_line_end, last_line_end
from service.core.writes.checkpoint import Position

CHUNK = 1 << 19
SAMPLE = 1 << 16
LONG_LINE = 512
"""With longer lines in the first bytes of a piece, on average, the piece is a large one."""


@dataclass(frozen=True)
class Piece:
    """Bytes that begin with a record, and perhaps with a line that has no end yet.

    end: where the next piece starts, unless a quoted field is open there. last: the file ends here.
    longest: no record is longer. too_long: the bytes of a line that begins with these; else 0.
    """

    data: bytes
    start: Position
    end: Position
    last: bool = False
    longest: bool = False
    too_long: int = 0


@dataclass(frozen=True)
class Sizes:
    """Bytes: of a piece, of one with long lines, and of the longest record, which is in one piece.

    The size of a piece depends on nothing but these and the bytes from its start on.
    """

    usual: int
    large: int
    longest: int

    def of(self, data: bytes) -> int:
        """The size of the piece that begins with these bytes."""
        sample = data[:SAMPLE]
        has_long_lines = len(sample) == SAMPLE > count_lines(sample) * LONG_LINE
        return self.large if has_long_lines else self.usual


class Pieces:
    """The pieces of a file from `start` on.

    Only the splitter knows where a piece ends. But the next pieces can be read before: if one of
    them starts at the wrong place, they are read again.
    """

    def __init__(self, file: BinaryIO, start: Position, sizes: Sizes):
        file.seek(start.byte)
        self._file = file
        self._sizes = sizes
        self._least = 0
        self._buffer, self._first = b"", start.byte
        self._next: Position | None = start
        self._latest: Piece | None = None

    def read(self) -> Piece | None:
        """The next piece; None at the end of the file, or if an earlier one must be split first."""
        if self._next is None:
            return None
        start = self._next
        at = start.byte - self._first
        size = max(self._sizes.of(self._read(at, SAMPLE)), self._least)
        data = self._read(at, size)
        last, longest = len(data) < size, size >= self._sizes.longest
        if longest and not last and not first_line_end(data):
            return None if at else self._skip_line(data, start)
        lines = data if last else data[: last_line_end(data)]
        end = Position(start.byte + len(lines), start.line + count_lines(lines))
        # With an odd number of quotes, a quoted field is open at the end.
        is_open = b'"' in lines and lines.count(b'"') % 2
        is_likely = lines and not last and not is_open
        self._next = end if is_likely else None
        self._least = 0
        self._latest = Piece(data, start, end, last, longest)
        return self._latest

    def _read(self, at: int, size: int) -> bytes:
        """The bytes at an offset of the buffer; fewer at the end of the file."""
        self._buffer += self._file.read(max(at + size - len(self._buffer), 0))
        return self._buffer[at : at + size]

    def confirm(self, piece: Piece, end: Position) -> bool:
        """Go on after a piece that ends here; False if the pieces read after it start elsewhere."""
        self._buffer = self._buffer[end.byte - self._first :]
        self._first = end.byte
        used = end.byte - piece.start.byte
        is_right = end == piece.end
        if piece is self._latest or not is_right:
            self._next = None if piece.last and used == len(piece.data) else end
            self._least = 0 if used else len(piece.data) * 2
        return is_right

    def _skip_line(self, data: bytes, start: Position) -> Piece:
        """A line that is too long: the next piece starts after it."""
        length, chunk = 0, self._buffer
        while not (end := first_line_end(chunk)):
            # A CR at the very end may be half of a CRLF.
            held = chunk[-1:] if chunk.endswith(b"\r") else b""
            length += len(chunk) - len(held)
            more = self._file.read(CHUNK)
            chunk = held + more
            if not more:
                end = len(held)
                break
        self._buffer, self._first = chunk[end:], start.byte + length + end
        after = Position(self._first, start.line + 1)
        self._next, self._latest = None, Piece(data, start, after, too_long=length + end)
        return self._latest
