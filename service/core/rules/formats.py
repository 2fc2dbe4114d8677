"""Batches in the other formats that clients send: NDJSON, CSV with a header, MessagePack."""

from __future__ import annotations

import csv
import io
import zlib
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import msgspec
from msgspec import Raw

from service.core.errors import MalformedError, TooLargeError, UnsupportedError
from service.core.rules.batch import (
    Batch,
    all_at_once,
    check_size,
    from_json,
    from_raw,
    from_texts,
    from_valid,
    lazy,
    row_decoder,
    struct_validator,
    validate_each,
)
from service.core.rules.explain import explain
from service.core.rules.field_types import decode
from service.core.rules.fields import Error
from service.core.tables import Table

MAX_BYTES = 4 << 20
"""Of a body, as sent and inflated: 1,000 rows of the longest names, every character escaped."""

_GZIP = 16 + zlib.MAX_WBITS


def parse_body(table: Table, content_type: str, body: bytes) -> Batch:
    """The batch in a body; UnsupportedError, MalformedError, BatchSizeError."""
    kind = content_type.partition(";")[0].strip().lower() or "application/json"
    if kind not in FORMATS:
        raise UnsupportedError(f"{kind} is not read here; send {', '.join(FORMATS)}.")
    return FORMATS[kind](table, body)


def decompress(encoding: str, body: bytes) -> bytes:
    """A body without its Content-Encoding; never more than MAX_BYTES of it."""
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        return body
    if encoding != "gzip":
        raise UnsupportedError(
            f"Content-Encoding {encoding!r} is not read here; send gzip or none."
        )
    inflater = zlib.decompressobj(_GZIP)
    try:
        data = inflater.decompress(body, MAX_BYTES + 1)
    except zlib.error as error:
        raise MalformedError(f"The body is not valid gzip: {error}.") from None
    if len(data) > MAX_BYTES:
        raise TooLargeError(f"The body inflates to more than {MAX_BYTES} bytes.")
    if not inflater.eof or inflater.unused_data:
        raise MalformedError("The body is not one whole gzip member.")
    return data


def from_ndjson(table: Table, body: bytes) -> Batch:
    """An object a line; blank lines are passed over."""
    lines = [line for line in body.split(b"\n") if line.strip()]
    check_size(len(lines))
    # Line by line: decode_lines() takes two rows in a line, and a row over two.
    rows = all_at_once(lambda every: list(map(row_decoder(table).decode, every)), lines)
    if rows is not None:
        return from_valid(table, rows, lambda at: _json_or_text(lines[at]))
    return _shown(from_raw(table, lines), lambda at: _json_or_text(lines[at]))


def from_csv(table: Table, body: bytes) -> Batch:
    """A header that names the table's fields in any order, then a line a row."""
    lines = _csv_lines(body)
    header, records = [name.strip() for name in lines[0]], lines[1:]
    check_size(len(records))
    order = _column_order(table, header)
    # A line of another length keeps it, and is rejected for it.
    rows = [
        [record[at] for at in order] if len(record) == len(header) else record for record in records
    ]
    batch = from_texts(table, rows, with_id=False)
    return _shown(batch, lambda at: _csv_record(header, records[at]))


def from_msgpack(table: Table, body: bytes) -> Batch:
    """An array of maps, or one map."""
    if body[:1] and (0x80 <= body[0] <= 0x8F or body[0] in (0xDE, 0xDF)):
        body = b"\x91" + body
    rows = all_at_once(_msgpack_decoder(table).decode, body)
    if rows is not None:
        check_size(len(rows))
        raw = lazy(lambda: _msgpack_raws(body))
        return from_valid(table, rows, lambda at: _showable(raw(at)))
    raws = _msgpack_raws(body)
    check_size(len(raws))
    one = msgspec.msgpack.Decoder(table.row, dec_hook=decode).decode
    judge = struct_validator(one, lambda raw: _explain(table, raw))
    batch = validate_each(table, raws, judge, _msgpack_object)
    return _shown(batch, lambda at: _showable(raws[at]))


FORMATS: dict[str, Callable[[Table, bytes], Batch]] = {
    "application/json": from_json,
    "application/x-ndjson": from_ndjson,
    "text/csv": from_csv,
    "application/msgpack": from_msgpack,
}


def _shown(batch: Batch, record: Callable[[int], Any]) -> Batch:
    """The batch with its records as they are told to the client."""
    batch.record = record
    for reject in batch.rejects:
        reject.record = record(reject.position)
    return batch


def _json_or_text(line: bytes) -> Any:
    try:
        line.decode()
        return msgspec.json.decode(line, type=Raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return line.decode(errors="backslashreplace")


def _csv_lines(body: bytes) -> list[list[str]]:
    try:
        text = body.decode("utf-8-sig")
        lines = [line for line in csv.reader(io.StringIO(text, newline=""), strict=True) if line]
    except UnicodeDecodeError as error:
        raise MalformedError(f"The body is not UTF-8 (byte {error.start}).") from None
    except csv.Error as error:
        raise MalformedError(f"The body is not valid CSV: {error}.") from None
    if not lines:
        raise MalformedError("The CSV is empty: it needs a header that names the fields.")
    return [[field.strip() for field in line] for line in lines]


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
        list[table.row],  # type: ignore[name-defined]
        dec_hook=decode,
    )


def _msgpack_raws(body: bytes) -> list[Raw]:
    try:
        return msgspec.msgpack.decode(body, type=list[Raw])
    except msgspec.ValidationError:
        raise MalformedError("The body must be a MessagePack array of rows, or one row.") from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise MalformedError(f"The body is not valid MessagePack: {error}") from None


def _explain(table: Table, raw: Raw) -> list[Error]:
    try:
        return explain(table.fields, msgspec.msgpack.decode(raw))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError) as error:
        return [Error(None, "malformed", f"is not valid MessagePack: {error}")]


def _msgpack_object(raw: Raw) -> Any:
    try:
        return msgspec.msgpack.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError):
        return None


def _showable(raw: Raw) -> Any:
    """A MessagePack value as JSON, or as text where JSON has no such thing."""
    try:
        value = msgspec.msgpack.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError):
        return bytes(raw).decode(errors="backslashreplace")
    try:
        return Raw(msgspec.json.encode(value))
    except (TypeError, ValueError, RecursionError):
        return repr(value)
