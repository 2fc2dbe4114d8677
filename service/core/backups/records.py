"""Records out of Avro, judged: moments as numbers on the quick way, as dates where that fails."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import cache, partial
from typing import Annotated, Any, get_type_hints

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import astuple

from service.core import batch
from service.core.batch import Batch
from service.core.fields import EARLIEST, LATEST, Id, Instant
from service.core.tables import Table

# Naive and in UTC, as the database has it.
EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001
MICROSECOND = timedelta(microseconds=1)
Micros = Annotated[
    int, Meta(ge=(EARLIEST - EPOCH) // MICROSECOND, le=(LATEST - EPOCH) // MICROSECOND)
]


def judge(table: Table, records: Sequence[dict[str, Any]]) -> Batch:
    """The batch of records whose moments are microseconds since 1970, or ISO text."""
    # A type made at run time.
    convert = partial(msgspec.convert, type=list[_quick(table)])  # type: ignore[misc]
    rows = batch.all_at_once(convert, records)
    if rows is None:
        return batch.from_records(table, [_with_dates(table, record) for record in records])
    columns: list[Sequence[Any]] = [*zip(*map(astuple, rows), strict=True)]
    for at, field in enumerate(table.stored_fields if rows else ()):
        if field.type is Instant:
            columns[at] = [_text(value) for value in columns[at]]
    tuples = [*zip(*columns, strict=True)]
    return Batch(table, len(tuples), records.__getitem__, tuples, range(len(tuples)))


@cache
def _quick(table: Table) -> type[Struct]:
    hints = {"id": Id, **get_type_hints(table.row, include_extras=True)}
    fields = [(name, Micros if hint is Instant else hint) for name, hint in hints.items()]
    return msgspec.defstruct(f"Quick{table.row.__name__}", fields, forbid_unknown_fields=True)


def _text(micros: int) -> str:
    return (EPOCH + timedelta(microseconds=micros)).isoformat()


def _with_dates(table: Table, record: dict[str, Any]) -> dict[str, Any]:
    moments = {field.name for field in table.stored_fields if field.type is Instant}
    return {
        name: _date(value) if name in moments and type(value) is int else value
        for name, value in record.items()
    }


def _date(micros: int) -> datetime:
    try:
        return EPOCH + timedelta(microseconds=micros)
    except OverflowError:
        return datetime.min  # as far out of range  # noqa: DTZ901
