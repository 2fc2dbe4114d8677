"""The content checksum of a table: computed by the database, and the same from a file's records.

A row's CRC-32 times its id, all rows XORed. The factor keeps equal changes to two rows from
cancelling out, which a plain XOR of CRCs lets pass. The order of rows does not matter, so it is
computed range by range.
"""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Iterable, Mapping
from functools import reduce
from operator import itemgetter, mul, xor
from typing import Any

from msgspec import Struct

from service.core.database import Transaction
from service.core.kinds import Boolean
from service.core.tables import Table

RANGE = 100_000
"""Rows in one query: a client that goes away is noticed between two."""


class Checksum(Struct, frozen=True):
    """Rows and what they add up to."""

    rows: int = 0
    value: int = 0

    def __add__(self, other: Checksum) -> Checksum:
        return Checksum(self.rows + other.rows, self.value ^ other.value)

    def __str__(self) -> str:
        return f"{self.value:016x}"


class Summer:
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


async def of_table(transaction: Transaction, table: Table) -> Checksum:
    """The checksum of all rows of a table, computed by the database."""
    total = Checksum()
    async for first, last in _ranges(transaction, table):
        ((rows, value),) = await transaction.fetch(table.sql["checksum"], (first, last))
        total += Checksum(int(rows), int(value))
    return total


async def _ranges(transaction: Transaction, table: Table) -> AsyncIterator[tuple[int, int]]:
    """(first, last] ids of a hundred thousand rows each."""
    first: int | None = -(1 << 31)
    while first is not None:
        ends = await transaction.fetch(table.sql["nth"], (first, RANGE - 1))
        last = ends[0][0] if ends else (1 << 31) - 1
        yield first, last
        first = last if ends else None
