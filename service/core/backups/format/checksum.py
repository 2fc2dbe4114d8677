"""The content checksum of a table, computed from records as the database computes it from rows.

It is the XOR over all rows of CRC-32 times id. Without the factor, equal changes to two rows would
cancel each other out. The order of rows does not matter, so that ranges can be computed separately.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from functools import reduce
from operator import itemgetter, mul, xor
from typing import Any

from msgspec import Struct

from service.core.errors import DamagedError
from service.core.rules.field_types import Boolean
from service.core.tables import Table


class Checksum(Struct, frozen=True):
    """The number of rows and their checksum."""

    rows: int = 0
    value: int = 0

    def __add__(self, other: Checksum) -> Checksum:
        return Checksum(self.rows + other.rows, self.value ^ other.value)

    @classmethod
    def of(cls, rows: str, value: str) -> Checksum:
        """The checksum of its texts; BackupError."""
        try:
            return cls(int(rows), int(value, 16))
        except ValueError:
            raise DamagedError("This Avro file is damaged: its totals are not numbers.") from None

    def __str__(self) -> str:
        return f"{self.value:016x}"


class TableChecksum:
    """Computes the checksum of records of one table."""

    def __init__(self, table: Table):
        self._values = itemgetter(*table.columns)
        self._text = "\t".join(["%s"] * len(table.columns))
        self._plain = all(
            not field.optional and not isinstance(field.kind, Boolean)
            for field in table.stored_fields
        )

    def __call__(self, records: Iterable[Mapping[str, Any]]) -> Checksum:
        """The checksum of records whose datetimes are microseconds."""
        rows = [*map(self._values, records)]
        if not self._plain:
            rows = [tuple(map(_as_stored, row)) for row in rows]
        crcs = [zlib.crc32((self._text % row).encode()) for row in rows]
        return Checksum(len(rows), reduce(xor, map(mul, crcs, [row[0] for row in rows]), 0))


def _as_stored(value: Any) -> Any:
    """NULL as an empty text, because no value is empty; a boolean as 0 or 1."""
    return "" if value is None else int(value) if isinstance(value, bool) else value
