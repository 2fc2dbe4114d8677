"""The lines of bytes: they end in LF, CRLF or CR."""

from __future__ import annotations

import re

line_end = re.compile(rb"\r\n|\r|\n")
# A CR at the very end may be half of a CRLF.
_certain_line_end = re.compile(rb"\r\n|\n|\r(?!\Z)")


def first_line_end(data: bytes) -> int:
    """The length of the first line with its line end; 0 if `data` does not contain its end."""
    match = _certain_line_end.search(data)
    return match.end() if match else 0


def last_line_end(data: bytes) -> int:
    """The length of the lines whose ends `data` contains."""
    # A CR at the very end may be half of a CRLF.
    return max(data.rfind(b"\n"), data.rfind(b"\r", 0, max(len(data) - 1, 0))) + 1


def count_lines(data: bytes) -> int:
    """The number of line ends."""
    # Most data has no CR, and looking for one is faster than counting.
    returns = data.count(b"\r") - data.count(b"\r\n") if b"\r" in data else 0
    return data.count(b"\n") + returns
