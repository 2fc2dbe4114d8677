"""Batches: what came in, judged row by row into rows to write and rejects to report.

Three ways in, one judgement: JSON bodies, lists of strings (CSV), records (Avro).
A whole batch is converted in one call; only when that fails is each row judged by itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from operator import itemgetter
from typing import Any

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import astuple

from service.core.errors import BatchSizeError, MalformedError
from service.core.fields import EXPLAIN, Error, Reasons, decode_instant, explain_id
from service.core.tables import Field, Table

MAX_ROWS = 1000
Row = tuple[Any, ...]


class Reject(Struct):
    """A row that was not written: where it stood, what it was, and every reason."""

    position: int
    record: Any
    errors: list[Error]

    def as_failure(self) -> dict[str, Any]:
        """As the API reports it."""
        return {"index": self.position, "record": self.record, "errors": self.errors}


@dataclass(slots=True)
class Batch:
    """Rows of one table as parameter tuples in column order, and what was rejected.

    `positions[i]` is where `rows[i]` stood; `record(position)` is that row as it was sent.
    """

    table: Table
    received: int
    record: Callable[[int], Any]
    rows: list[Row]
    positions: Sequence[int]
    rejects: list[Reject] = field(default_factory=list)

    def reject(self, errors: dict[int, list[Error]]) -> None:
        """Move the rows at these indexes of `rows` to the rejects."""
        for at, reasons in errors.items():
            position = self.positions[at]
            self.rejects.append(Reject(position, self.record(position), reasons))
        keep = [at for at in range(len(self.rows)) if at not in errors]
        self.rows = [self.rows[at] for at in keep]
        self.positions = [self.positions[at] for at in keep]
        self.rejects.sort(key=lambda reject: reject.position)


def from_json(table: Table, body: bytes) -> Batch:
    """A JSON array of 1–1000 objects, or one object; MalformedError, BatchSizeError."""
    body = _as_array(body)
    try:
        rows = _decoder(table).decode(body)
    except msgspec.ValidationError:
        return _from_raw(table, _raw_rows(body))
    except (msgspec.DecodeError, RecursionError) as error:
        raise MalformedError(f"The body is not valid JSON: {error}") from None
    _check_size(len(rows))
    return _all_good(table, rows, lambda at: _raw_rows(body)[at])


def from_strings(
    table: Table, records: Sequence[Sequence[str]], *, assume_utc: bool = False
) -> Batch:
    """Lists of strings, id first, as a CSV reader gives them, stripped of surrounding spaces."""
    hook = partial(decode_instant, assume_utc=True) if assume_utc else decode_instant
    convert = partial(msgspec.convert, strict=False, dec_hook=hook)
    try:
        rows = convert(records, list[table.line])  # type: ignore[name-defined]
        if _plain_numbers(table, records):
            return _all_good(table, rows, records.__getitem__)
    except msgspec.ValidationError:
        pass
    return _one_by_one(
        table,
        records,
        lambda record: _line(table, record, convert),
        lambda record: explain_strings(table, record, hook),
        records.__getitem__,
    )


def from_records(table: Table, records: Sequence[Any]) -> Batch:
    """Objects with an id each, as Avro and NDJSON carry them."""
    convert = partial(msgspec.convert, dec_hook=decode_instant)
    try:
        rows = convert(records, list[table.stored])  # type: ignore[name-defined]
        return _all_good(table, rows, records.__getitem__)
    except msgspec.ValidationError:
        return _one_by_one(
            table,
            records,
            lambda record: convert(record, table.stored),
            lambda record: explain(table.stored_fields, record),
            records.__getitem__,
        )


def explain(fields: Iterable[Field], record: object) -> list[Error]:
    """Every rule that an object breaks: fields missing, unknown, or with a value that cannot be."""
    if not isinstance(record, dict):
        return [Error(None, "type", "a row must be an object")]
    names = {field.name: field for field in fields}
    errors = [
        Error(name, "unknown_field", _unknown(name, names)) for name in record if name not in names
    ]
    for name, known in names.items():
        if name in record:
            errors += known.explain(record[name], EXPLAIN[known.type])
        else:
            errors.append(Error(name, "missing", f"{name} is missing"))
    return errors


def explain_strings(
    table: Table, record: Sequence[str], hook: Callable[[type, object], Any]
) -> list[Error]:
    """Every rule that a line breaks: an empty field counts as missing."""
    fields = table.stored_fields
    if len(record) != len(fields):
        return [Error(None, "malformed", f"has {len(record)} fields, not {len(fields)}")]
    errors: list[Error] = []
    for known, text in zip(fields, record, strict=True):
        if text:
            errors += known.explain(_from_text(known, text, hook), _reasons(known))
        else:
            errors.append(Error(known.name, "missing", f"{known.name} is missing"))
    return errors


def _as_array(body: bytes) -> bytes:
    try:
        body.decode()
    except UnicodeDecodeError as error:
        raise MalformedError(f"The body is not UTF-8 (byte {error.start}).") from None
    return b"[" + body + b"]" if body.lstrip()[:1] == b"{" else body


@cache
def _decoder(table: Table) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(
        list[table.row],  # type: ignore[name-defined]
        dec_hook=decode_instant,
    )


@cache
def _row_decoder(table: Table) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(table.row, dec_hook=decode_instant)


_whole_number = re.compile(r"0|-?[1-9][0-9]{0,18}").fullmatch
_raw_decoder = msgspec.json.Decoder(list[Raw])


def _raw_rows(body: bytes) -> list[Raw]:
    try:
        return _raw_decoder.decode(body)
    except msgspec.ValidationError:
        raise MalformedError("The body must be a JSON array of rows, or one row.") from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise MalformedError(f"The body is not valid JSON: {error}") from None


def _from_raw(table: Table, raws: list[Raw]) -> Batch:
    _check_size(len(raws))
    return _one_by_one(
        table,
        raws,
        _row_decoder(table).decode,
        lambda raw: _explain_raw(table, raw),
        raws.__getitem__,
    )


def _explain_raw(table: Table, raw: Raw) -> list[Error]:
    try:
        return explain(table.fields, msgspec.json.decode(raw))
    except (msgspec.DecodeError, RecursionError) as error:
        return [Error(None, "malformed", f"is not valid JSON: {error}")]


def _check_size(count: int) -> None:
    if not 1 <= count <= MAX_ROWS:
        raise BatchSizeError(f"A batch has 1 to {MAX_ROWS} rows, this one has {count}.")


def _all_good(table: Table, rows: list[Struct], record: Callable[[int], Any]) -> Batch:
    return Batch(table, len(rows), record, [astuple(row) for row in rows], range(len(rows)))


def _one_by_one(
    table: Table,
    records: Sequence[Any],
    convert: Callable[[Any], Struct],
    reasons: Callable[[Any], list[Error]],
    record: Callable[[int], Any],
) -> Batch:
    batch = Batch(table, len(records), record, [], [])
    positions: list[int] = []
    for at, sent in enumerate(records):
        try:
            batch.rows.append(astuple(convert(sent)))
            positions.append(at)
        except (msgspec.DecodeError, RecursionError) as error:
            batch.rejects.append(Reject(at, record(at), reasons(sent) or _unexplained(error)))
    batch.positions = positions
    return batch


def _unexplained(error: Exception) -> list[Error]:
    return [Error(None, "malformed", str(error))]


def _unknown(name: str, names: dict[str, Field]) -> str:
    if name == "id":
        return "id is generated: leave it out"
    return f"{name!r} is no field of this table, which has {', '.join(names)}"


def _plain_numbers(table: Table, records: Sequence[Sequence[str]]) -> bool:
    """Whether every number is digits alone: msgspec also takes 5.0 and 1e3 for whole numbers."""
    numbers = itemgetter(*_number_columns(table))
    texts = map(numbers, records)
    joined = "".join(texts) if len(_number_columns(table)) == 1 else "".join(map("".join, texts))
    return joined.isdecimal() or not records


@cache
def _number_columns(table: Table) -> tuple[int, ...]:
    return tuple(at for at, known in enumerate(table.stored_fields) if known.type is int)


def _line(table: Table, record: Sequence[str], convert: Callable[..., Any]) -> Struct:
    row: Struct = convert(record, table.line)
    if not _plain_numbers(table, [record]):
        raise msgspec.ValidationError("a number is written with more than digits")
    return row


def _from_text(known: Field, text: str, hook: Callable[[type, object], Any]) -> object:
    if known.type is int:
        return int(text) if _whole_number(text) else text
    if known.type is str:
        return text
    try:
        return hook(known.type, text)
    except ValueError:
        return text


def _reasons(known: Field) -> Callable[[object], Reasons]:
    return _explain_number if known.type is int else EXPLAIN[known.type]


def _explain_number(value: object) -> Reasons:
    if isinstance(value, str):
        yield "type", f"must be a whole number in plain digits, not {value[:40]!r}"
    else:
        yield from explain_id(value)
