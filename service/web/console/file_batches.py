"""Files of rows without ids, batch after batch: never more of a file in memory than a batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, BinaryIO, NamedTuple

from loader.reading import blocks
from loader.reading.layout import CsvLayout
from loader.reading.splitter import Block
from service.core.errors import MalformedError
from service.core.rules import batch, formats
from service.core.rules.batch import MAX_ROWS, Batch, Records
from service.core.rules.fields import Error
from service.core.rules.reject import Reject
from service.core.tables import Table

BYTES = 1 << 18
"""Of a batch; a row that is longer is a batch by itself."""
LONGEST = blocks.LONGEST
"""Bytes that a line may have."""
CLIPPED = 100_000
"""Characters of a rejected text that are logged; escaped, a batch of them still fits a reply."""
SNIFFED = 1 << 16
NDJSON, CSV = "NDJSON", "CSV"


class Part(NamedTuple):
    """A batch, its bytes, and how many bytes of the file are read after it."""

    judged: Batch
    body: bytes
    end: int


class Line(NamedTuple):
    """A line without its end; skipped: so many more bytes of it were not kept."""

    text: bytes
    skipped: int = 0


def kind_of(table: Table, path: Path) -> str | None:
    """The format of a file of rows without ids; None for one that the loader takes."""
    with path.open("rb") as file:
        start = file.read(SNIFFED).removeprefix(blocks.BOM).lstrip()
    if start.startswith(b"{"):
        return NDJSON
    if start.startswith(b"["):
        raise MalformedError("Send JSON as NDJSON, a row a line, or POST it to the API.")
    header = start.partition(b"\n")[0].decode(errors="replace").strip().lower().split(",")
    names = {name.strip().strip('"') for name in header}
    return CSV if names == {field.name for field in table.fields} else None


def parts(table: Table, kind: str, path: Path, *, assume_utc: bool = False) -> Iterator[Part]:
    """The batches of a file; where each ends depends on the content alone."""
    with path.open("rb") as file:
        if kind == NDJSON:
            yield from _of_ndjson(table, file)
        else:
            yield from _of_csv(table, file, assume_utc=assume_utc)


def _of_ndjson(table: Table, file: IO[bytes]) -> Iterator[Part]:
    lines: list[Line] = []
    size = 0
    for line in _lines(file):
        if lines and (len(lines) == MAX_ROWS or size + len(line.text) > BYTES):
            yield _judged_ndjson(table, lines, file.tell())
            lines, size = [], 0
        lines.append(line)
        size += len(line.text)
    if lines:
        yield _judged_ndjson(table, lines, file.tell())


def _lines(file: IO[bytes]) -> Iterator[Line]:
    """The lines that are not blank."""
    if file.read(len(blocks.BOM)) != blocks.BOM:
        file.seek(0)
    while text := file.readline(LONGEST + 1):
        skipped = 0
        if len(text) > LONGEST and not text.endswith(b"\n"):
            skipped = _skip_line(file)
        if skipped or text.strip():
            yield Line(text.rstrip(b"\n"), skipped)


def _skip_line(file: IO[bytes]) -> int:
    skipped = 0
    while piece := file.readline(LONGEST):
        skipped += len(piece.rstrip(b"\n"))
        if piece.endswith(b"\n"):
            break
    return skipped


def _judged_ndjson(table: Table, lines: list[Line], end: int) -> Part:
    # A line that is too long stands for itself by something that is no row.
    body = b"\n".join(b"null" if _too_long(line) else line.text for line in lines)
    judged = formats.from_ndjson(table, body)
    errors = {at: _long_error(line) for at, line in enumerate(lines) if _too_long(line)}
    known = judged.records

    def record(at: int) -> Any:
        return lines[at].text.decode(errors="backslashreplace") if at in errors else known[at]

    return Part(_with_errors(judged, record, errors), body, end)


def _too_long(line: Line) -> bool:
    return line.skipped > 0 or len(line.text) > LONGEST


def _long_error(line: Line) -> Error:
    length = len(line.text) + line.skipped
    return Error(None, "malformed", f"is {length} bytes long; a line has at most {LONGEST}")


def _of_csv(table: Table, file: BinaryIO, *, assume_utc: bool) -> Iterator[Part]:
    start, header = blocks.beginning(file, ",")
    names = tuple(name.strip().lower() for name in header)
    wanted = tuple(field.name for field in table.fields)
    if sorted(names) != sorted(wanted):
        raise MalformedError(f"The header of the file must name {', '.join(wanted)}, each once.")
    layout = CsvLayout(names, wanted, header=True)
    for block in blocks.blocks(file, layout, start):
        for slice_ in _slices(block.texts):
            yield _judged_csv(table, layout, block, slice_, assume_utc=assume_utc)


def _slices(texts: Sequence[str]) -> Iterator[range]:
    """Indexes of a block in batches."""
    first = size = 0
    for at, text in enumerate(texts):
        if at > first and (at - first == MAX_ROWS or size + len(text) > BYTES):
            yield range(first, at)
            first, size = at, 0
        size += len(text)
    if first < len(texts):
        yield range(first, len(texts))


def _judged_csv(
    table: Table, layout: CsvLayout, block: Block, where: range, *, assume_utc: bool
) -> Part:
    rows = [block.records[at] for at in where]
    texts = [block.texts[at] for at in where]
    errors = {at - where.start: block.malformed[at] for at in where if at in block.malformed}
    judged = batch.from_texts(table, rows, with_id=False, assume_utc=assume_utc)

    def record(at: int) -> Any:
        whole = len(rows[at]) == layout.width and at not in errors
        return dict(zip(layout.table_columns, rows[at], strict=True)) if whole else texts[at]

    body = "\n".join(texts).encode()
    return Part(_with_errors(judged, record, errors), body, block.end.byte)


def _with_errors(judged: Batch, record: Callable[[int], Any], errors: dict[int, Error]) -> Batch:
    """The batch with its records as they are shown, and lines that cannot be read as such."""
    judged.records = Records(lambda: range(judged.received), record)
    judged.rejects = [
        Reject(
            one.position,
            clipped(record(one.position), CLIPPED),
            [errors[one.position]] if one.position in errors else one.errors,
        )
        for one in judged.rejects
    ]
    return judged


def clipped(record: Any, characters: int) -> Any:
    """A record that is text, cut where it is longer than so many characters."""
    if isinstance(record, str) and len(record) > characters:
        return f"{record[:characters]}…"
    return record
