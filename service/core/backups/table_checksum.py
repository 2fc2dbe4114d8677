"""The content checksum of a table. The database computes it, one range of ids at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator

from service.core.backups.format.checksum import Checksum
from service.core.database.statements import Transaction
from service.core.tables import Table

RANGE = 100_000
"""Rows in one query. Between two queries a cancellation takes effect."""
FIRST, LAST = -(1 << 31), (1 << 31) - 1


async def checksum_of(transaction: Transaction, table: Table) -> Checksum:
    """The checksum of all rows of a table, computed by the database."""
    total = Checksum()
    async for first, last in ranges(transaction, table):
        ((rows, value),) = await transaction.fetch(table.sql["checksum"], (first, last))
        total += Checksum(int(rows), int(value))
    return total


async def ranges(transaction: Transaction, table: Table) -> AsyncIterator[tuple[int, int]]:
    """(first, last] ids of ranges with at most a hundred thousand rows."""
    first = FIRST
    while first != LAST:
        last = await end_of_range(transaction, table, first, RANGE)
        yield first, last
        first = last


async def end_of_range(transaction: Transaction, table: Table, first: int, rows: int) -> int:
    """The last id of a range of `rows` rows after the id `first`; LAST if there are fewer."""
    ends = await transaction.fetch(table.sql["nth"], (first, rows - 1))
    return int(ends[0][0]) if ends else LAST
