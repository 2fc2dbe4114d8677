"""Rows that are encoded column by column have the bytes of records."""

from __future__ import annotations

import io
from decimal import Decimal
from typing import Any

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from service.core.backups.format import avro_schema
from service.core.backups.format.row_encoder import RowEncoder
from service.core.rules.field_types import Boolean, Date, Fixed, Moment, Text, Whole
from service.core.tables import Field, Table

LONGS = st.integers(-(2**63), 2**63 - 1)
AMOUNTS = st.decimals(-99999999, 99999999, places=2)
KINDS: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (Whole(), LONGS | st.integers(-70, 70)),
    (Moment(), LONGS),
    (Date(), st.integers(-400_000, 3_000_000)),
    (Text(), st.text(st.characters(codec="utf-8"), max_size=100)),
    (Fixed(10, 2), AMOUNTS.map("{:.2f}".format)),
    (Boolean(), st.booleans()),
]


def table_of(*fields: Field) -> Table:
    """A table with these fields and an id."""
    table = Table("things", "things", Struct)
    table.__dict__["fields"] = fields
    return table


def by_record(table: Table, rows: list[tuple[Any, ...]]) -> bytes:
    """The rows as fastavro writes them, one after the other."""
    schema: Any = avro_schema.schema(table)
    fields = [
        {**field, "type": plain(one, field["type"])}
        for one, field in zip(table.stored_fields, schema["fields"], strict=True)
    ]
    parsed, out = fastavro.parse_schema({**schema, "fields": fields}), io.BytesIO()
    for row in rows:
        values = map(written, table.stored_fields, row)
        fastavro.schemaless_writer(out, parsed, dict(zip(table.columns, values, strict=True)))
    return out.getvalue()


def plain(field: Field, written: Any) -> Any:
    """The type in a schema, with plain numbers for moments and dates."""
    if not isinstance(field.kind, Moment | Date):
        return written
    return ["null", "long"] if field.optional else "long"


def written(field: Field, value: Any) -> Any:
    """A value as fastavro takes it."""
    return Decimal(value) if value is not None and isinstance(field.kind, Fixed) else value


@pytest.mark.parametrize("optional", [False, True])
@given(st.data())
def test_the_bytes_are_those_of_records(optional: bool, data: st.DataObject) -> None:
    chosen = data.draw(st.lists(st.sampled_from(KINDS), max_size=4))
    fields = [Field(f"x{at}", kind, optional=optional) for at, (kind, _) in enumerate(chosen)]
    columns = [st.none() | values if optional else values for _, values in chosen]
    row = st.tuples(st.integers(1, 2**31 - 1), *columns)
    # Values that repeat are encoded in another way.
    rows = data.draw(st.lists(row, max_size=5)) * data.draw(st.integers(1, 3))
    table = table_of(*fields)
    encoded = RowEncoder(table)([value for row in rows for value in row])
    assert encoded == by_record(table, rows)
