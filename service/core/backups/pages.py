"""A table in pages, from one query each: the rows as JSON, their number and their checksum."""

from __future__ import annotations

from dataclasses import dataclass

from service.core.backups.format.checksum import Checksum
from service.core.backups.table_checksum import FIRST, LAST, end_of_range
from service.core.database.statements import Transaction
from service.core.rules.field_types import Text
from service.core.tables import Table

PAGE = 10_000
"""Rows in a page of a table with one column of text."""


@dataclass(frozen=True)
class Page:
    """The JSON objects of rows, separated by commas, and what the database says about them.

    last: the last id that the page may have.
    """

    total: Checksum
    rows: str | bytes
    last: int


class Pages:
    """The pages of a table in the order of ids. The server builds them."""

    def __init__(self, transaction: Transaction, table: Table):
        self._transaction, self._table, self._after = transaction, table, FIRST
        # A page of the longest rows must fit the server's reply and a block.
        texts = sum(isinstance(field.kind, Text) for field in table.fields)
        self._size = PAGE // max(1, texts)

    async def next(self) -> Page | None:
        """The next page; None after the last one."""
        if self._after == LAST:
            return None
        first = self._after
        self._after = last = await end_of_range(self._transaction, self._table, first, self._size)
        ((count, checksum, rows),) = await self._transaction.fetch(
            self._table.sql["backup_page"], (first, last)
        )
        return Page(Checksum(int(count), int(checksum)), rows, last) if count else None
