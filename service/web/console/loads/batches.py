"""Reads files of rows without ids in batches. At most one batch of a file is in memory."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import suppress
from copy import copy
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeVar

import msgspec
from msgspec import Raw

from loader.reading import blocks
from loader.reading.layout import KEY, REASONS, CsvLayout, layout_with
from loader.reading.source import Source, unpacked
from loader.reading.splitter import Block
from loader.reporting.rejects_file import quoted
from service.core.errors import MalformedError, TooLargeError
from service.core.rules import batch, formats
from service.core.rules.batch import MAX_ROWS, Batch, Records
from service.core.rules.fields import Error
from service.core.rules.raw_json import json_text
from service.core.rules.reject import Reject
from service.core.tables import Table
from service.core.writes.checkpoint import Position
from service.web.console.jobs import clipped

T = TypeVar("T")

BYTES = 1 << 18
"""Most bytes in a batch; a longer row is a batch by itself."""
LONGEST = blocks.LONGEST
"""Most bytes in a line."""
CLIPPED = 100_000
"""Characters of a rejected text that are logged. A batch of such texts still fits a reply."""
MAX_UNPACKED = 8 << 30
"""Most bytes in a file after decompression."""
PIECE = 1 << 20
NDJSON, CSV, RECORDS = "NDJSON", "CSV", "rejects of NDJSON"
RECORD = ("record",)
"""The column of a rejects file of NDJSON after those that every rejects file has."""


class FileBatch(NamedTuple):
    """A validated batch, the line of each row, the bytes sent, and the file offset behind it.

    text: gives a row, by position, as its rejects file has it; keys: of the rejects that the rows
    correct.
    """

    rows: Batch
    lines: Sequence[int]
    body: bytes
    end: int
    text: Callable[[int], str]
    keys: Sequence[str] = ()


class Line(NamedTuple):
    """A line without its end; skipped: how many more bytes it has."""

    number: int
    text: bytes
    skipped: int = 0


def size_of(source: Source) -> int:
    """Bytes in a file after decompression; TooLargeError, InputError."""
    size = 0
    with source.open() as file:
        if not isinstance(file, gzip.GzipFile):
            return source.path.stat().st_size
        while piece := file.read(PIECE):
            size += len(piece)
            if size > MAX_UNPACKED:
                raise TooLargeError(
                    f"Decompressed, the file has more than {MAX_UNPACKED >> 30} GiB. "
                    "Split it into smaller files."
                )
    return size


def format_of(source: Source) -> str | None:
    """The format of a file of rows without ids; None for a file with ids."""
    with source.open() as file:
        if _is_ndjson(file):
            return NDJSON
        _, names = _beginning(file)
    if names == (*REASONS, KEY, *RECORD):
        return RECORDS
    given = {name for name in names if name not in (*REASONS, KEY)}
    return CSV if given == {field.name for field in source.table.fields} else None


def columns_of(source: Source, kind: str) -> Sequence[str]:
    """The columns that a record of the file has in its rejects file."""
    if kind != CSV:
        return RECORD
    with source.open() as file:
        return _layout_of(source.table, file)[1].columns


def names_in(path: Path, name: str) -> Sequence[str]:
    """The names in the header of a CSV file, or in the first row of NDJSON; InputError."""
    with unpacked(path, name) as file:
        if not _is_ndjson(file):
            return _beginning(file)[1]
        with suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return tuple(msgspec.json.decode(next(_lines(file)).text, type=dict[str, Raw]))
    return ()


def _is_ndjson(file: BinaryIO) -> bool:
    """Whether a file begins with a JSON object; MalformedError if with an array."""
    start = file.read(PIECE).removeprefix(blocks.BOM).lstrip()
    file.seek(0)
    if start.startswith(b"["):
        raise MalformedError(
            "The file is a JSON array. Load NDJSON, with one row in each line, or post the array "
            "to the API."
        )
    return start.startswith(b"{")


def _beginning(file: BinaryIO) -> tuple[Position, tuple[str, ...]]:
    """Where the text of a CSV file starts, and the names in its header."""
    start, header = blocks.beginning(file, ",")
    return start, tuple(name.strip().lower() for name in header)


def batches(source: Source, kind: str, *, assume_utc: bool = False) -> Generator[FileBatch]:
    """The batches of a file. Their ends depend only on the content of the file."""
    with source.open() as file:
        if kind == NDJSON:
            yield from _ndjson_batches(source.table, file)
        elif kind == RECORDS:
            yield from _record_batches(source.table, file)
        else:
            yield from _csv_batches(source.table, file, assume_utc=assume_utc)


def _ndjson_batches(table: Table, file: BinaryIO) -> Iterator[FileBatch]:
    for lines in _groups(_lines(file), lambda line: len(line.text)):
        yield _ndjson_batch(table, lines, file.tell())


def _groups(items: Iterable[T], size_of_item: Callable[[T], int]) -> Iterator[list[T]]:
    """Items in order, in groups that fit a batch."""
    group: list[T] = []
    size = 0
    for item in items:
        if group and (len(group) == MAX_ROWS or size + size_of_item(item) > BYTES):
            yield group
            group, size = [], 0
        group.append(item)
        size += size_of_item(item)
    if group:
        yield group


def _lines(file: BinaryIO) -> Iterator[Line]:
    """The lines that are not blank."""
    if file.read(len(blocks.BOM)) != blocks.BOM:
        file.seek(0)
    number = 0
    while text := file.readline(LONGEST + 1):
        number += 1
        skipped = 0
        if len(text) > LONGEST and not text.endswith(b"\n"):
            skipped = _skip_line(file)
        if skipped or text.strip():
            yield Line(number, text.rstrip(b"\n"), skipped)


def _skip_line(file: BinaryIO) -> int:
    skipped = 0
    while piece := file.readline(LONGEST):
        skipped += len(piece.rstrip(b"\n"))
        if piece.endswith(b"\n"):
            break
    return skipped


def _ndjson_batch(table: Table, lines: list[Line], end: int) -> FileBatch:
    # A line that is too long becomes `null`, which is not a row, so that the positions stay.
    body = b"\n".join(b"null" if _too_long(line) else line.text for line in lines)
    rows = formats.from_ndjson(table, body)
    errors = {at: _long_error(line) for at, line in enumerate(lines) if _too_long(line)}
    original = rows.records

    def record(at: int) -> Any:
        return lines[at].text.decode(errors="backslashreplace") if at in errors else original[at]

    rows = _with_errors(rows, record, errors)

    def text(at: int) -> str:
        return quoted(json_text(rows.records[at]))

    return FileBatch(rows, [line.number for line in lines], body, end, text)


def _too_long(line: Line) -> bool:
    return line.skipped > 0 or len(line.text) > LONGEST


def _long_error(line: Line) -> Error:
    length = len(line.text) + line.skipped
    return Error(None, "malformed", f"is {length} bytes long; a line has at most {LONGEST}")


def _csv_batches(table: Table, file: BinaryIO, *, assume_utc: bool) -> Iterator[FileBatch]:
    start, layout = _layout_of(table, file)
    for block in _parts(file, layout, start):
        yield _csv_batch(table, layout, block, assume_utc=assume_utc)


def _layout_of(table: Table, file: BinaryIO) -> tuple[Position, CsvLayout]:
    start, names = _beginning(file)
    return start, layout_with(table, names, tuple(field.name for field in table.fields))


def _parts(file: BinaryIO, layout: CsvLayout, start: Position) -> Iterator[Block]:
    """The blocks of a file, in parts that fit a batch."""
    for block in blocks.blocks(file, layout, start):
        sizes = [len(text) for text in block.texts]
        for indexes in _groups(range(len(sizes)), sizes.__getitem__):
            part = copy(block)
            part.keep(indexes)
            part.keys = [block.keys[at] for at in indexes] if layout.keyed else []
            yield part


def _csv_batch(table: Table, layout: CsvLayout, block: Block, *, assume_utc: bool) -> FileBatch:
    texts = [layout.original(text) for text in block.texts]
    rows = batch.from_texts(table, block.records, with_id=False, assume_utc=assume_utc)

    def record(at: int) -> Any:
        fields = block.records[at]
        is_whole = len(fields) == len(layout.columns)
        return dict(zip(layout.table_columns, fields, strict=True)) if is_whole else texts[at]

    rows = _with_errors(rows, record, block.malformed)
    body = "\n".join(texts).encode()
    return FileBatch(rows, block.lines, body, block.end.byte, texts.__getitem__, block.keys)


def _record_batches(table: Table, file: BinaryIO) -> Iterator[FileBatch]:
    """The batches of a rejects file of NDJSON: the last field of each line is a row in JSON."""
    start, _ = _beginning(file)
    layout = CsvLayout(RECORD, RECORD, lead=len(REASONS) + 1, header=True, keyed=True)
    for block in _parts(file, layout, start):
        yield _record_batch(table, block)


def _record_batch(table: Table, block: Block) -> FileBatch:
    texts = [",".join(fields) for fields in block.records]
    rows = batch.validate_json(table, Records(lambda: [text.encode() for text in texts]))

    def record(at: int) -> Any:
        return block.texts[at] if at in block.malformed else Raw(texts[at].encode())

    rows = _with_errors(rows, record, block.malformed)
    body, end = "\n".join(texts).encode(), block.end.byte
    return FileBatch(rows, block.lines, body, end, lambda at: quoted(texts[at]), block.keys)


def _with_errors(rows: Batch, record: Callable[[int], Any], errors: dict[int, Error]) -> Batch:
    """The batch with its records as a page shows them, and the errors of unreadable lines."""
    received = rows.received  # not `rows`: a cycle would stay in memory until a rare collection
    rows.records = Records(lambda: range(received), record)
    rows.rejects = [
        Reject(
            one.position,
            _clipped(record(one.position)),
            [errors[one.position]] if one.position in errors else one.errors,
        )
        for one in rows.rejects
    ]
    return rows


def _clipped(record: Any) -> Any:
    return clipped(record, CLIPPED) if isinstance(record, str) else record
