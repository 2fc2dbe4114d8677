"""Batches: records of a client or a file, validated into rows to write and rejects to report.

JSON bodies, lists of strings (CSV) and records (Avro) pass the same validation.
A whole batch is decoded in one call. Only if that fails, each row is validated separately.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property, partial
from typing import Any, TypeVar

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import astuple

from service.core.errors import BatchSizeError, MalformedError
from service.core.rules import text_columns
from service.core.rules.explain import explain
from service.core.rules.field_types import decode
from service.core.rules.fields import NOT_VALIDATED, Error, is_id
from service.core.rules.raw_json import decimal, decode_value, split_rows
from service.core.rules.reject import Reject
from service.core.rules.text_columns import Parents
from service.core.tables import Field, Table

log = logging.getLogger("hirebase.core")

MAX_ROWS = 1000
Row = tuple[Any, ...]
T = TypeVar("T")


@dataclass
class Records:
    """The records of a batch by position. `split` and `show` run only if a record is needed."""

    split: Callable[[], Sequence[Any]]
    show: Callable[[Any], Any] = lambda record: record

    @cached_property
    def raws(self) -> Sequence[Any]:
        """The records as they were sent."""
        return self.split()

    def __getitem__(self, at: int) -> Any:
        """A record as clients see it."""
        return self.show(self.raws[at])

    def several(self, positions: Iterable[int]) -> list[Any]:
        """Some of the records as clients see them."""
        raws, show = self.raws, self.show
        return [show(raws[at]) for at in positions]


@dataclass(slots=True)
class Batch:
    """Rows of one table as parameter tuples in column order, and the rejects.

    records: what was sent, by position; positions[i]: the position of rows[i]; parents: those that
    rejected rows name. parents_locked: the transaction that writes the batch has
    locked the parents of all rows.
    """

    table: Table
    received: int
    records: Records
    rows: list[Row]
    positions: Sequence[int]
    rejects: list[Reject] = field(default_factory=list)
    parents: Parents = field(default_factory=dict)
    parents_locked: bool = False

    def parent_ids(self, at: int) -> set[int]:
        """The ids that the rows have at this offset."""
        return {row[at] for row in self.rows} - {None}

    def reject(self, errors: dict[int, list[Error]]) -> None:
        """Move the rows at these indexes of `rows` to the rejects."""
        for at, reasons in errors.items():
            position = self.positions[at]
            self.rejects.append(Reject(position, self.records[position], reasons))
        keep = [at for at in range(len(self.rows)) if at not in errors]
        self.rows = [self.rows[at] for at in keep]
        self.positions = [self.positions[at] for at in keep]
        self.rejects.sort(key=lambda reject: reject.position)


def from_json(table: Table, body: bytes) -> Batch:
    """A JSON array of 1–1000 objects, or one object; MalformedError, BatchSizeError."""
    try:
        body.decode()
    except UnicodeDecodeError as error:
        raise MalformedError(f"The body is not UTF-8 (byte {error.start}).") from None
    single = body.lstrip()[:1] == b"{"
    array = b"[" + body + b"]" if single else body
    records = Records(lambda: split_rows(array))
    rows = decode_rows(table, _decoder(table).decode, array)
    count = len(records.raws if rows is None else rows)
    if single and count != 1:
        raise MalformedError("The body has several objects. Send them as one array: [{…}, {…}].")
    check_size(count)
    return from_valid(table, rows, records) if rows else validate_json(table, records)


def from_texts(
    table: Table,
    texts: Sequence[Sequence[str]],
    *,
    records: Records | None = None,
    with_id: bool = True,
    assume_utc: bool = False,
) -> Batch:
    """Lists of strings in column order, as a CSV reader gives them, without surrounding spaces.

    records: how the rejects show them, if not as these lists.
    """
    fields = table.stored_fields if with_id else table.fields
    validated = text_columns.validate(fields, texts, assume_utc=assume_utc)
    records = records or Records(lambda: texts)
    batch = Batch(table, len(texts), records, validated.rows, validated.positions)
    if validated.errors:
        rejected = sorted(validated.errors)
        refused = zip(rejected, records.several(rejected), strict=True)
        batch.rejects = [Reject(at, shown, validated.errors[at]) for at, shown in refused]
        batch.parents = validated.parents(rejected)
    return batch


def from_records(table: Table, objects: Sequence[Any]) -> Batch:
    """Objects with an id each, as Avro has them."""
    # A type made at run time, here and below: mypy cannot know it.
    kind = list[table.stored]  # type: ignore[name-defined]
    rows = decode_all(partial(msgspec.convert, type=kind, dec_hook=decode), objects)
    records = Records(lambda: objects)
    if rows is not None:
        return from_valid(table, list(map(astuple, rows)), records)
    return validate_each(table, table.stored_fields, table.stored, records, lambda record: record)


@cache
def _decoder(table: Table) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(
        list[table.decoded],  # type: ignore[name-defined]
        dec_hook=decode,
        float_hook=decimal,
    )


def validate_json(table: Table, records: Records) -> Batch:
    """JSON rows, each validated separately."""
    return validate_each(table, table.fields, table.row, records, _decode_json)


def _decode_json(raw: Raw | bytes) -> Any:
    try:
        return decode_value(raw)
    except ValueError as error:
        raise ValueError(f"is not valid JSON: {error}") from None


def check_size(count: int) -> None:
    """BatchSizeError unless a batch may have so many rows."""
    if not 1 <= count <= MAX_ROWS:
        raise BatchSizeError(f"A batch has 1 to {MAX_ROWS} rows, this one has {count}.")


def decode_all(convert: Callable[[Any], list[T]], encoded: Any) -> list[T] | None:
    """The rows of a whole batch. None if one is wrong: then each is validated separately."""
    try:
        return convert(encoded)
    except Exception:  # any error: it occurs again when each row is validated
        return None


def decode_rows(
    table: Table, convert: Callable[[Any], list[Struct]], encoded: Any
) -> list[Row] | None:
    """The rows of a whole batch, as in `decode_all`; convert: returns structs `table.decoded`.

    Columns are validated as a whole: that takes a third of the time of value by value.
    """

    def validated(encoded: Any) -> list[Row]:
        structs = convert(encoded)
        columns = [field.validated(list(map(field.get, structs))) for field in table.fields]
        return list(zip(*columns, strict=True))

    return decode_all(validated, encoded)


def from_valid(table: Table, rows: list[Row], records: Records) -> Batch:
    """A batch in which every row is valid."""
    return Batch(table, len(rows), records, rows, range(len(rows)))


def validate_each(
    table: Table,
    fields: Iterable[Field],
    struct: type[Struct],
    records: Records,
    to_object: Callable[[Any], Any],
) -> Batch:
    """A batch of records that are validated one by one.

    to_object: the object that a raw record means; ValueError says why there is none.
    """
    batch = Batch(table, len(records.raws), records, [], [])
    positions: list[int] = []
    for at, raw in enumerate(records.raws):
        value = None
        try:
            value = to_object(raw)
        except ValueError as error:
            result: Row | list[Error] = [Error(None, "malformed", str(error))]
        else:
            result = _validate(fields, struct, value)
        if isinstance(result, tuple):
            batch.rows.append(result)
            positions.append(at)
        else:
            batch.rejects.append(Reject(at, records[at], result))
            for name, key in _parents(table, value):
                batch.parents.setdefault(name, {})[at] = key
    batch.positions = positions
    return batch


def _validate(fields: Iterable[Field], struct: type[Struct], value: Any) -> Row | list[Error]:
    """The row of an object, or every rule that it breaks."""
    try:
        row = _row(struct, value)
        errors = [] if row else explain(fields, value)
    except Exception:  # any error: the row is a reject, the batch continues
        log.exception("a row could not be validated")
        return [NOT_VALIDATED]
    return row or errors or [NOT_VALIDATED]


def _row(struct: type[Struct], value: Any) -> Row | None:
    try:
        return astuple(msgspec.convert(value, struct, dec_hook=decode))
    # Half of a surrogate pair has no encoding.
    except (msgspec.ValidationError, UnicodeEncodeError):
        return None


def _parents(table: Table, value: Any) -> Iterator[tuple[str, int]]:
    """(field, id) of the parents that an object names, if they can be ids."""
    if isinstance(value, dict):
        for _, known in table.parents:
            if is_id(key := value.get(known.name)):
                yield known.name, key
