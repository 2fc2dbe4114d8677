"""Encodes rows by fastavro."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import fastavro

from service.core.backups.format import avro_schema
from service.core.backups.format.binary import write_long
from service.core.tables import Table

ROWS_IN_RECORD = 20
"""fastavro needs a fifth of the time for what it does once in each record, so a record has several
rows. Their bytes are the same: a record has no more bytes than its fields."""

RECORDS = 100
"""Records encoded in one call. No other thread runs during the call."""

END = write_long(0)


class RowEncoder:
    """Encodes rows of a table from a list of all their values, row after row."""

    def __init__(self, table: Table):
        self._packings, self._width = avro_schema.packings(table), len(table.columns)
        self._schemas = [avro_schema.plain_rows(table, rows) for rows in (ROWS_IN_RECORD, 1)]

    def __call__(self, values: list[Any]) -> bytes:
        """The bytes of the rows."""
        for column, convert in self._packings:
            values[column :: self._width] = map(convert, values[column :: self._width])
        size = self._width * ROWS_IN_RECORD
        whole = len(values) - len(values) % size
        parts = (values[:whole], size), (values[whole:], self._width)
        return b"".join(
            encoded
            for schema, (part, size) in zip(self._schemas, parts, strict=True)
            for encoded in _encoded(schema, part, size)
        )


def _encoded(schema: Any, values: list[Any], size: int) -> Iterator[bytes]:
    """An Avro array is its length, its items, and a 0. Only the items are needed."""
    names = [field["name"] for field in schema["items"]["fields"]]
    # A copy already has room for all the fields, so it does not grow while they are set.
    empty = dict.fromkeys(names)
    for start in range(0, len(values), size * RECORDS):
        records = []
        for at in range(start, min(start + size * RECORDS, len(values)), size):
            record = empty.copy()
            record.update(zip(names, values[at : at + size], strict=True))
            records.append(record)
        array = io.BytesIO()
        fastavro.schemaless_writer(array, schema, records)
        yield array.getvalue()[len(write_long(len(records))) : -len(END)]
