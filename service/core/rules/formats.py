"""Batches in the other formats of the API: NDJSON, CSV with a header, MessagePack."""

from __future__ import annotations

import csv
import io
import zlib
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any

import msgspec
from msgspec import Raw

from service.core.errors import MalformedError, TooLargeError, UnsupportedError
from service.core.rules.batch import (
    Batch,
    Records,
    check_size,
    decode_rows,
    from_json,
    from_texts,
    from_valid,
    validate_each,
    validate_json,
)
from service.core.rules.field_types import decode
from service.core.rules.raw_json import decimal, reason
from service.core.tables import Table

MAX_BYTES = 4 << 20
"""The limit of a body, before and after decompression: 1,000 rows of the longest names, escaped."""

BLANK = " \t"
"""The white space that is removed around a field of CSV, by the loader too."""

_GZIP = 16 + zlib.MAX_WBITS

SHORT = 1024
"""Bytes of a row of MessagePack that is decoded whole.

A key may be an array. Many arrays with the same hash are easy to find, and a map of them takes
quadratic time. So of a longer row, only a map with other keys is decoded, and nothing inside.
"""


def parse_body(table: Table, content_type: str, body: bytes) -> Batch:
    """The batch in a body; UnsupportedError, MalformedError, BatchSizeError."""
    kind = content_type.partition(";")[0].strip().lower() or "application/json"
    if kind not in FORMATS:
        raise UnsupportedError(f"{kind} is not supported. Send {', '.join(FORMATS)}.")
    return FORMATS[kind](table, body)


def decompress(encoding: str, body: bytes) -> bytes:
    """A body without its Content-Encoding; TooLargeError above MAX_BYTES."""
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        return body
    if encoding != "gzip":
        raise UnsupportedError(
            f"Content-Encoding {encoding!r} is not supported. Send gzip or none."
        )
    inflater = zlib.decompressobj(_GZIP)
    try:
        data = inflater.decompress(body, MAX_BYTES + 1)
    except zlib.error as error:
        raise MalformedError(f"The body is not valid gzip: {error}.") from None
    if len(data) > MAX_BYTES:
        raise TooLargeError(f"The body has more than {MAX_BYTES} bytes after decompression.")
    if not inflater.eof or inflater.unused_data:
        raise MalformedError("The body must be one complete gzip member.")
    return data


def from_ndjson(table: Table, body: bytes) -> Batch:
    """One object per line; blank lines are ignored."""
    lines = [line for line in body.split(b"\n") if line.strip()]
    check_size(len(lines))
    records = Records(lambda: lines, _json_or_text)
    # Line by line: decode_lines() accepts two rows on a line, and a row on two lines.
    rows = decode_rows(table, lambda every: list(map(_row_decoder(table).decode, every)), lines)
    return validate_json(table, records) if rows is None else from_valid(table, rows, records)


def from_csv(table: Table, body: bytes) -> Batch:
    """A header with the names of the table's fields in any order, then one row per line."""
    lines = _csv_lines(body)
    header, rows = lines[0], lines[1:]
    check_size(len(rows))
    order = _column_order(table, header)
    # A line with another number of fields is not reordered. It is a reject.
    texts = [[line[at] for at in order] if len(line) == len(header) else line for line in rows]
    records = Records(lambda: rows, partial(_csv_record, header))
    return from_texts(table, texts, records=records, with_id=False)


def from_msgpack(table: Table, body: bytes) -> Batch:
    """An array of maps, or one map."""
    if _is_map(body):
        body = b"\x91" + body
    records = Records(lambda: _msgpack_raws(body), _msgpack_record)
    rows = decode_rows(table, _msgpack_decoder(table).decode, body)
    check_size(len(records.raws if rows is None else rows))
    if rows is not None:
        return from_valid(table, rows, records)
    return validate_each(table, table.fields, table.row, records, _decode_msgpack)


FORMATS: dict[str, Callable[[Table, bytes], Batch]] = {
    "application/json": from_json,
    "application/x-ndjson": from_ndjson,
    "text/csv": from_csv,
    "application/msgpack": from_msgpack,
}


@cache
def _row_decoder(table: Table) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(table.decoded, dec_hook=decode, float_hook=decimal)


def _json_or_text(line: bytes) -> Any:
    try:
        line.decode()
        return msgspec.json.decode(line, type=Raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return line.decode(errors="backslashreplace")


def _csv_lines(body: bytes) -> list[list[str]]:
    try:
        text = body.decode("utf-8-sig")
        rows = csv.reader(io.StringIO(text, newline=""), strict=True, skipinitialspace=True)
        lines = [[field.strip(BLANK) for field in row] for row in rows if row]
    except UnicodeDecodeError as error:
        raise MalformedError(f"The body is not UTF-8 (byte {error.start}).") from None
    except csv.Error as error:
        raise MalformedError(f"The body is not valid CSV: {error}.") from None
    if not lines:
        raise MalformedError("The CSV is empty: it needs a header that names the fields.")
    # With one column, a blank line is a row without its value.
    return [line for line in lines if line != [""] or len(lines[0]) == 1]


def _column_order(table: Table, header: Sequence[str]) -> list[int]:
    names = [field.name for field in table.fields]
    if sorted(header) != sorted(names):
        raise MalformedError(
            f"The CSV's header has {', '.join(header)}; it must name {', '.join(names)}."
        )
    return [header.index(name) for name in names]


def _csv_record(header: Sequence[str], record: Sequence[str]) -> Any:
    return dict(zip(header, record, strict=True)) if len(header) == len(record) else record


@cache
def _msgpack_decoder(table: Table) -> msgspec.msgpack.Decoder[Any]:
    return msgspec.msgpack.Decoder(
        # A type made at run time.
        list[table.decoded],  # type: ignore[name-defined]
        dec_hook=decode,
    )


def _msgpack_raws(body: bytes) -> list[Raw]:
    try:
        return msgspec.msgpack.decode(body, type=list[Raw])
    except msgspec.ValidationError:
        raise MalformedError("The body must be a MessagePack array of rows, or one row.") from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise MalformedError(f"The body is not valid MessagePack: {reason(error)}") from None


def _is_map(data: bytes) -> bool:
    return bool(data) and (0x80 <= data[0] <= 0x8F or data[0] in (0xDE, 0xDF))


def _is_array(data: bytes) -> bool:
    return bool(data) and (0x90 <= data[0] <= 0x9F or data[0] in (0xDC, 0xDD))


def _decode_msgpack(raw: Raw) -> Any:
    data = bytes(raw)
    try:
        if len(data) > SHORT and _is_map(data):
            return {key: _shallow(bytes(value)) for key, value in _outer_map(data).items()}
        return msgspec.msgpack.decode(data) if len(data) <= SHORT else _shallow(data)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"is not valid MessagePack: {reason(error)}") from None


_outer_map = msgspec.msgpack.Decoder(dict[str | int | float | bool | None, Raw]).decode


def _shallow(data: bytes) -> Any:
    """A value; of a map or an array only the type, because no field has one."""
    return {} if _is_map(data) else [] if _is_array(data) else msgspec.msgpack.decode(data)


def _is_shown_as_bytes(data: bytes, value: Any) -> bool:
    """Whether a part of the row is not decoded."""
    inner = value.values() if isinstance(value, dict) else [value]
    return len(data) > SHORT and any(isinstance(one, dict | list) for one in inner)


def _msgpack_record(raw: Raw) -> Any:
    """A MessagePack value as JSON, or as text if JSON has no such value."""
    data = bytes(raw)
    try:
        value = _decode_msgpack(raw)
    except ValueError:
        return data.decode(errors="backslashreplace")
    if _is_shown_as_bytes(data, value):
        return data.decode(errors="backslashreplace")
    try:
        return Raw(msgspec.json.encode(value))
    except (TypeError, ValueError, RecursionError):
        return repr(value)
