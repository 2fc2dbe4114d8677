"""Encodes rows column by column.

In a record, fastavro needs most of its time to find each field and its type. In an array of longs
it does that once, and the bytes are the same.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from operator import add
from typing import Any

import fastavro

from service.core.backups.format.avro_schema import unscaled
from service.core.backups.format.binary import write_long
from service.core.tables import Field, Table

Encoded = Iterable[bytes]

END = write_long(0)
NULL, SOME = write_long(0), write_long(1)
"""The branches of an optional field."""
LONGS = fastavro.parse_schema({"type": "array", "items": "long"})

_split = re.compile(rb"[\x80-\xff]*[\x00-\x7f]").findall
"""Only the last byte of a long has no high bit."""


class RowEncoder:
    """Encodes rows of a table from a list of all their values, row after row."""

    def __init__(self, table: Table):
        self._fields = table.stored_fields

    def __call__(self, values: Sequence[Any]) -> bytes:
        """The bytes of the rows."""
        width = len(self._fields)
        columns = [_column(field, values[at::width]) for at, field in enumerate(self._fields)]
        return b"".join(chain.from_iterable(zip(*columns, strict=True)))


def _column(field: Field, values: Sequence[Any]) -> Encoded:
    encode = _ENCODERS[field.kind.packed]
    if not field.optional:
        return encode(values)
    encoded = iter(encode([value for value in values if value is not None]))
    return [NULL if value is None else SOME + next(encoded) for value in values]


def _longs(values: Sequence[int]) -> Encoded:
    """Values that repeat are encoded once."""
    distinct = set(values)
    if 2 * len(distinct) > len(values):
        return _encoded(values)
    encoded = dict(zip(distinct, _encoded([*distinct]), strict=True))
    return map(encoded.__getitem__, values)


def _encoded(values: Sequence[int]) -> list[bytes]:
    """An Avro array is its length, its items, and a 0."""
    array = io.BytesIO()
    fastavro.schemaless_writer(array, LONGS, values)
    return _split(array.getvalue()[len(write_long(len(values))) : -len(END)])


def _texts(values: Sequence[str]) -> Encoded:
    return _bytes([*map(str.encode, values)])


def _decimals(values: Sequence[str]) -> Encoded:
    return _bytes([*map(unscaled, values)])


def _bytes(values: Sequence[bytes]) -> Encoded:
    return map(add, _longs([*map(len, values)]), values)


def _booleans(values: Sequence[Any]) -> Encoded:
    return [b"\x01" if value else b"\x00" for value in values]


_ENCODERS: dict[str, Callable[[Sequence[Any]], Encoded]] = {
    "long": _longs,
    "string": _texts,
    "bytes": _decimals,
    "boolean": _booleans,
}
