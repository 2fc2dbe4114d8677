"""Validation of Avro records: moments as numbers, or as ISO texts if a record is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache, partial
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import astuple

from service.core.rules import batch
from service.core.rules.batch import Batch, Records
from service.core.rules.field_types import Moment, Whole, decode
from service.core.rules.fields import EARLIEST, LATEST
from service.core.tables import Table, struct_of

EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - naive and in UTC, as the database has it
MICROSECOND = timedelta(microseconds=1)
MICROS = Whole((EARLIEST - EPOCH) // MICROSECOND, (LATEST - EPOCH) // MICROSECOND)


def validate(table: Table, records: Sequence[dict[str, Any]]) -> Batch:
    """The batch of records whose datetimes are microseconds since 1970, or ISO text."""
    # A type made at run time.
    kind = list[_quick(table)]  # type: ignore[misc,valid-type]
    convert = partial(msgspec.convert, type=kind, dec_hook=decode)
    rows = batch.decode_all(convert, records)
    if rows is None:
        return batch.from_records(table, [_with_texts(table, record) for record in records])
    columns: list[Sequence[Any]] = [*zip(*map(astuple, rows), strict=True)]
    for at, field in enumerate(table.stored_fields if rows else ()):
        if isinstance(field.kind, Moment):
            columns[at] = [_text(value) for value in columns[at]]
    tuples = [*zip(*columns, strict=True)]
    return Batch(table, len(tuples), Records(lambda: records), tuples, range(len(tuples)))


@cache
def _quick(table: Table) -> type[Struct]:
    fields = [
        replace(field, kind=MICROS) if isinstance(field.kind, Moment) else field
        for field in table.stored_fields
    ]
    return struct_of(f"Quick{table.struct.__name__}", fields)


def _text(micros: int | None) -> str | None:
    return None if micros is None else (EPOCH + timedelta(microseconds=micros)).isoformat()


def _with_texts(table: Table, record: dict[str, Any]) -> dict[str, Any]:
    moments = {field.name for field in table.stored_fields if isinstance(field.kind, Moment)}
    return {
        name: _iso(value) if name in moments and type(value) is int else value
        for name, value in record.items()
    }


def _iso(micros: int) -> str:
    try:
        return f"{_text(micros)}Z"
    except OverflowError:
        return f"{datetime.min.isoformat()}Z"  # noqa: DTZ901 - out of range as well
