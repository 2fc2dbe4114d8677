"""Splits text into records: all lines in one pass, if each line is a record, else one by one.

A record that cannot be read becomes one reject, and reading continues on the next line.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate, islice

from loader.reading.layout import Record
from loader.reading.lines import last_line_end, line_end
from loader.reading.pieces import Piece
from service.core.rules.fields import Error
from service.core.writes.checkpoint import Position

_surrogate = re.compile("[\ud800-\udfff]").search

BLANK = [""]
"""The fields of a blank line."""

NEVER_CLOSED = "has a quoted field that is not closed, or a quote inside it that is not doubled"
NOT_UTF8 = "is not UTF-8"
TOO_LONG = "is too long for a record; this is its beginning"


@dataclass
class Block:
    """Records, with the first line and the text of each; `malformed`: errors by index.

    keys: of the rejects that the records of a rejects file correct.
    """

    start: Position
    end: Position
    records: list[Record]
    lines: Sequence[int]
    texts: list[str]
    malformed: dict[int, Error] = field(default_factory=dict)
    keys: list[str] = field(default_factory=list)

    def refuse(self, at: int, message: str) -> None:
        """Mark a record as one that cannot be read."""
        self.records[at] = ()
        self.malformed[at] = Error(None, "malformed", message)

    def join(self, first: int, after: int, fields: Record) -> None:
        """Make one record of several lines; the lines after the first become blank."""
        self.records[first:after] = [fields, *[BLANK] * (after - first - 1)]
        self.texts[first] = "\n".join(self.texts[first:after])

    def keep(self, indexes: Sequence[int]) -> None:
        """Drop all records but these."""
        self.records = [self.records[at] for at in indexes]
        self.lines = [self.lines[at] for at in indexes]
        self.texts = [self.texts[at] for at in indexes]
        errors = ((new, self.malformed.get(old)) for new, old in enumerate(indexes))
        self.malformed = {at: error for at, error in errors if error}


class Splitter:
    """Splits at one delimiter.

    width, key: the number of fields in a record, and the index of its id. A line that looks like a
    record is a record, even if an earlier quote is still open: that quote is a mistake.
    blank_rows: a line of spaces or of an empty quoted field is a record, as in a file of one
    column.
    """

    def __init__(self, delimiter: str, width: int = 0, key: int = 0, *, blank_rows: bool = False):
        self._delimiter = delimiter
        self._blank_rows = blank_rows
        self._width = width
        self._key = key
        self._blank = " " if delimiter == "\t" else " \t"
        stop, blank = re.escape(delimiter), self._blank
        quoted = r'"([^"]*+(?:""[^"]*+)*+)'
        self._field = re.compile(
            rf'[{blank}]*{quoted}"[{blank}]*(?={stop}|\n|\Z)|(?![{blank}]*")([^{stop}\n]*)'
        )
        self._open = re.compile(rf"[{blank}]*{quoted}\Z")
        # It begins with one character, so that the search goes from space to space.
        self._padding = re.compile(rf' (?:[{stop}\n]|(?<=[{stop}\n"] ))').search

    def block(self, piece: Piece) -> Block:
        """The records of a piece."""
        if piece.too_long:
            return self.too_long(piece.data, piece.start, piece.too_long)
        return self.split(piece.data, piece.start, last=piece.last, longest=piece.longest)

    def split(self, data: bytes, start: Position, *, last: bool, longest: bool) -> Block:
        """The complete records at the beginning of `data`.

        A line without its end and a quoted field that is not closed may continue in the next bytes.
        They are left for the next block, unless `data` is the `last` or the `longest` possible.
        """
        data = data if last else data[: last_line_end(data)]
        text, invalid = _decode(data)
        lines = text.removesuffix("\n").split("\n") if text else []
        numbers = range(start.line, start.line + len(lines))
        quoted = self._quoted(text, lines) if '"' in text else None
        records = quoted or [line.split(self._delimiter) for line in lines]
        block = Block(start, start, self._stripped(text, records), numbers, lines[:])
        read = len(lines)
        if '"' in text and not quoted:
            read = self._read_quoted(block, text, lines, last=last, longest=longest)
        if invalid:
            _refuse_invalid_utf8(block)
        if read < len(lines) or BLANK in block.records:
            block.keep([at for at in range(read) if not self._is_blank(block, at)])
        used = len(data) if read == len(lines) else _length(data, read)
        block.end = Position(start.byte + used, start.line + read)
        return block

    def too_long(self, data: bytes, start: Position, length: int) -> Block:
        """A line of `length` bytes that begins with `data`, as one malformed record."""
        text, _ = _decode(data)
        end = Position(start.byte + length, start.line + 1)
        block = Block(start, end, [()], [start.line], [_printable(text)])
        block.refuse(0, TOO_LONG)
        return block

    def _is_blank(self, block: Block, at: int) -> bool:
        """Whether a line is not a record: it is blank, or part of an earlier record."""
        record = block.records[at]
        kept = self._blank_rows and record is not BLANK and block.texts[at]
        return record == BLANK and not kept

    def _stripped(self, text: str, records: list[Record]) -> list[Record]:
        """The records of `text` without spaces around their fields."""
        at_edge = " " in {text[:1], text[-1:]}
        tab = any(blank in text for blank in self._blank[1:])
        if not at_edge and not tab and not self._padding(text):
            return records
        return [[part.strip(self._blank) for part in record] for record in records]

    def _quoted(self, text: str, lines: Sequence[str]) -> list[Record] | None:
        """The records of lines with quotes; None unless each line is a well-formed record."""
        # The csv module takes a quote after a space as a part of the field.
        if any(f'{blank}"' in text for blank in self._blank):
            return None
        try:
            records = list(csv.reader(lines, delimiter=self._delimiter, strict=True))
        except csv.Error:
            return None
        return [one or BLANK for one in records] if len(records) == len(lines) else None

    def _read_quoted(
        self, block: Block, text: str, lines: list[str], *, last: bool, longest: bool
    ) -> int:
        """Read the records with quotes again; the number of lines that are complete."""
        starts = list(accumulate((len(line) + 1 for line in lines), initial=0))
        # Quotes that are open at the ends of several lines close or fail at the same place. So a
        # line before `failed` is read by itself, instead of reading the same text for each line.
        after = failed = 0
        fields: Record | None
        for at in [at for at, line in enumerate(lines) if '"' in line]:
            if at < after:
                continue
            if at < failed:
                fields, end = self._record(lines[at], 0)[0], at + 1
            elif alone := self._quoted(lines[at], [lines[at]]):
                fields, end = self._stripped(lines[at], alone)[0], at + 1
            else:
                fields, end = self._read_one(text, lines, at, starts[at])
                if not fields and end == len(lines) and not last and not (longest and at == 0):
                    return at
                failed = end
            if fields:
                block.join(at, end, fields)
            else:
                block.refuse(at, NEVER_CLOSED)
            after = end if fields else at + 1
        return len(lines)

    def _read_one(
        self, text: str, lines: list[str], at: int, start: int
    ) -> tuple[list[str] | None, int]:
        """The fields of the record that begins on line `at`, and the line after it.

        If it is malformed: None, and the line before which other open quotes fail in the same way.
        That is the number of lines if a field is open at the end of the text.
        """
        fields, stop = self._record(text, start)
        after = at + 1 + text.count("\n", start, stop)
        if not fields and self._open.match(text, stop):
            after = len(lines)
        elif not fields:
            return None, after - 1
        following = reversed(range(at + 1, after))
        other = next((line for line in following if self._looks_like_record(lines[line])), None)
        return (fields, after) if other is None else (None, other)

    def _looks_like_record(self, line: str) -> bool:
        fields = line.split(self._delimiter)
        return len(fields) == self._width and fields[self._key].strip(' "').isdecimal()

    def _record(self, text: str, at: int) -> tuple[list[str] | None, int]:
        """The fields of the record at this offset, None if it is malformed, and its end."""
        fields = []
        while match := self._field.match(text, at):
            quoted, plain = match.groups()
            value = plain if quoted is None else quoted.replace('""', '"')
            fields.append(value.strip(self._blank))
            at = match.end()
            if not text.startswith(self._delimiter, at):
                return fields, at
            at += 1
        return None, at


def _length(data: bytes, lines: int) -> int:
    """The length of the first lines."""
    ends = islice(line_end.finditer(data), lines - 1, None) if lines else iter(())
    return next((match.end() for match in ends), 0)


def _decode(data: bytes) -> tuple[str, bool]:
    """The text with LF line ends, and whether some bytes are not UTF-8."""
    try:
        text, invalid = data.decode(), False
    except UnicodeDecodeError:
        text, invalid = data.decode(errors="surrogateescape"), True
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text, invalid


def _refuse_invalid_utf8(block: Block) -> None:
    for at, text in enumerate(block.texts):
        if block.records[at] != BLANK and _surrogate(text):
            block.refuse(at, NOT_UTF8)
            # A backslash is doubled, so that the rejects file can restore the bytes.
            block.texts[at] = _printable(text.replace("\\", "\\\\"))


def _printable(text: str) -> str:
    """The text with its invalid bytes as backslash escapes."""
    return text.encode(errors="surrogateescape").decode(errors="backslashreplace")
