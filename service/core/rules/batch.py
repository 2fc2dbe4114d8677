"""Batches: what came in, judged row by row into rows to write and rejects to report.

Three ways in, one judgement: JSON bodies, lists of strings (CSV), records (Avro).
A whole batch is converted in one call; only when that fails is each row judged by itself.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache, partial
from typing import Any

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import astuple

from service.core.errors import BatchSizeError, MalformedError
from service.core.rules import text_columns
from service.core.rules.explain import explain
from service.core.rules.field_types import decode
from service.core.rules.fields import NOT_VALIDATED, Error
from service.core.rules.raw_json import decode_value, split_rows
from service.core.rules.reject import Reject
from service.core.tables import Table

log = logging.getLogger("hirebase.core")

MAX_ROWS = 1000
Row = tuple[Any, ...]
Validator = Callable[[Any], Row | list[Error]]
"""Makes a record a row, or says every rule that it breaks."""


@dataclass(slots=True)
class Batch:
    """Rows of one table as parameter tuples in column order, and what was rejected.

    `positions[i]` is where `rows[i]` stood; `record(position)` is that row as it was sent, and
    `claims(position)` what a rejected row says, by field, if it is an object at all.
    """

    table: Table
    received: int
    record: Callable[[int], Any]
    rows: list[Row]
    positions: Sequence[int]
    rejects: list[Reject] = field(default_factory=list)
    claims: Callable[[int], Any] = lambda _: None

    def named(self, at: int) -> set[int]:
        """The parents that the rows name, at this offset of a row."""
        return {row[at] for row in self.rows} - {None}

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
    rows = all_at_once(_decoder(table).decode, body)
    if rows is None:
        return from_raw(table, split_rows(body))
    check_size(len(rows))
    return from_valid(table, rows, lazy(lambda: split_rows(body)))


def from_texts(
    table: Table,
    records: Sequence[Sequence[str]],
    *,
    with_id: bool = True,
    assume_utc: bool = False,
) -> Batch:
    """Lists of strings in column order, as a CSV reader gives them, without surrounding spaces."""
    fields = table.stored_fields if with_id else table.fields
    judged = text_columns.validate(fields, records, assume_utc=assume_utc)
    rejects = [Reject(at, records[at], judged.errors[at]) for at in sorted(judged.errors)]
    return Batch(
        table,
        len(records),
        records.__getitem__,
        judged.rows,
        judged.positions,
        rejects,
        judged.parents,
    )


def from_records(table: Table, records: Sequence[Any]) -> Batch:
    """Objects with an id each, as Avro and NDJSON carry them."""
    convert = partial(msgspec.convert, dec_hook=decode)
    # A type made at run time, here and below: no checker can know it.
    kind = list[table.stored]  # type: ignore[name-defined]
    rows = all_at_once(partial(convert, type=kind), records)
    if rows is not None:
        return from_valid(table, rows, records.__getitem__)
    return validate_each(
        table,
        records,
        struct_validator(
            lambda record: convert(record, table.stored),
            lambda record: explain(table.stored_fields, record),
        ),
        lambda record: record,
    )


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
        dec_hook=decode,
        float_hook=Decimal,
    )


@cache
def row_decoder(table: Table) -> msgspec.json.Decoder[Any]:
    """The decoder of one JSON row."""
    return msgspec.json.Decoder(table.row, dec_hook=decode, float_hook=Decimal)


def from_raw(table: Table, raws: Sequence[Raw | bytes]) -> Batch:
    """JSON rows one by one, each judged by itself."""
    check_size(len(raws))
    decode = row_decoder(table).decode
    judge = struct_validator(decode, lambda raw: _explain_raw(table, raw))
    return validate_each(table, raws, judge, _raw_object)


def _raw_object(raw: Raw | bytes) -> Any:
    try:
        return decode_value(raw)
    except ValueError:
        return None


def _explain_raw(table: Table, raw: Raw | bytes) -> list[Error]:
    try:
        return explain(table.fields, decode_value(raw))
    except ValueError as error:
        return [Error(None, "malformed", f"is not valid JSON: {error}")]


def check_size(count: int) -> None:
    """BatchSizeError unless a batch may have so many rows."""
    if not 1 <= count <= MAX_ROWS:
        raise BatchSizeError(f"A batch has 1 to {MAX_ROWS} rows, this one has {count}.")


def lazy(rows: Callable[[], Sequence[Any]]) -> Callable[[int], Any]:
    """The record at a position, out of records that are made once, when one is asked for."""
    made = cache(rows)
    return lambda at: made()[at]


def all_at_once(convert: Callable[[Any], list[Struct]], sent: Any) -> list[Struct] | None:
    """The rows of a whole batch; None if one is wrong: then each must be judged by itself."""
    try:
        return convert(sent)
    except Exception:  # whatever it is, row by row finds it again, and says of which row it is
        return None


def from_valid(table: Table, rows: list[Struct], record: Callable[[int], Any]) -> Batch:
    """A batch in which every row passed."""
    return Batch(table, len(rows), record, [astuple(row) for row in rows], range(len(rows)))


def validate_each(
    table: Table,
    records: Sequence[Any],
    judge: Validator,
    as_object: Callable[[Any], Any],
) -> Batch:
    """A batch out of records that are judged one by one."""
    batch = Batch(table, len(records), records.__getitem__, [], [])
    batch.claims = lambda at: as_object(records[at])
    positions: list[int] = []
    for at, sent in enumerate(records):
        verdict = judge(sent)
        if isinstance(verdict, tuple):
            batch.rows.append(verdict)
            positions.append(at)
        else:
            batch.rejects.append(Reject(at, sent, verdict))
    batch.positions = positions
    return batch


def struct_validator(
    convert: Callable[[Any], Struct], reasons: Callable[[Any], list[Error]]
) -> Validator:
    """The struct says whether a record is a row; where it is none, `reasons` says why."""

    def judge(sent: Any) -> Row | list[Error]:
        try:
            return astuple(convert(sent))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            return reasons(sent) or [Error(None, "malformed", str(error))]

    def judge_safely(sent: Any) -> Row | list[Error]:
        try:
            return judge(sent)
        except Exception:  # whatever it is: the row is a reject, not the end of the batch
            log.exception("a row could not be judged")
            return [NOT_VALIDATED]

    return judge_safely
