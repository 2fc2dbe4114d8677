"""The content checksum of a table: computed by the database, and the same from a file's records.

A row's CRC-32 times its id, all rows XORed. The factor keeps equal changes to two rows from
cancelling out, which a plain XOR of CRCs lets pass. The order of rows does not matter, so it is
computed range by range.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from functools import reduce
from operator import itemgetter, mul, xor
from typing import Any

from msgspec import Struct

from service.core.rules.field_types import Boolean
from service.core.tables import Table


class Checksum(Struct, frozen=True):
    """Rows and what they add up to."""

    rows: int = 0
    value: int = 0

    def __add__(self, other: Checksum) -> Checksum:
        return Checksum(self.rows + other.rows, self.value ^ other.value)

    def __str__(self) -> str:
        return f"{self.value:016x}"


class TableChecksum:
    """Adds up the rows of one table's records."""

    def __init__(self, table: Table):
        self._values = itemgetter(*table.columns)
        self._text = "\t".join(["%s"] * len(table.columns))
        self._plain = all(
            not field.optional and not isinstance(field.kind, Boolean)
            for field in table.stored_fields
        )

    def __call__(self, records: Iterable[Mapping[str, Any]]) -> Checksum:
        """The checksum of records whose moments are microseconds."""
        rows = [*map(self._values, records)]
        if not self._plain:
            rows = [tuple(map(_told, row)) for row in rows]
        crcs = [zlib.crc32((self._text % row).encode()) for row in rows]
        return Checksum(len(rows), reduce(xor, map(mul, crcs, [row[0] for row in rows]), 0))


def _told(value: Any) -> Any:
    """A NULL is told as an empty text, which no value is, and a boolean as 0 or 1."""
    return "" if value is None else int(value) if isinstance(value, bool) else value
