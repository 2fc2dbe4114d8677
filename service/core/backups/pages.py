"""A table in pages, from one query each: values as JSON, the number of rows, and their checksum."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from operator import itemgetter, lt
from typing import Any

import msgspec

from service.core.backups.format.checksum import Checksum
from service.core.backups.table_checksum import FIRST, LAST, end_of_range
from service.core.database.statements import Transaction
from service.core.errors import DatabaseError
from service.core.tables import Table

PAGE = 10_000
"""Rows in a page of a table with one column of text."""

_decoder = msgspec.json.Decoder(list[int | str | bool | None])


@dataclass(frozen=True)
class Page:
    """Rows, and what the database says about them.

    last: the last id that the page may have. text: the values of all rows as JSON, each
    followed by a comma, so that a cut is noticed.
    """

    table: Table
    total: Checksum
    last: int
    text: str | bytes

    def values(self) -> list[Any]:
        """The values of all rows, row after row, ids ascending; DatabaseError."""
        text = self.text if isinstance(self.text, str) else self.text.decode()
        width = len(self.table.columns)
        try:
            values = _decoder.decode(f"[{text[:-1]}]")
        except msgspec.DecodeError:
            values = []
        if not text.endswith(",") or len(values) != self.total.rows * width:
            raise DatabaseError(
                f"The database returned a part of a page of {self.table.path} for the backup: "
                f"{len(values)} values, but it counted {self.total.rows} rows with {width} values "
                "each."
            )
        return _in_order(values, width)


def _in_order(values: list[Any], width: int) -> list[Any]:
    """The server guarantees no order inside the aggregate."""
    ids = values[::width]
    if all(map(lt, ids, ids[1:])):
        return values
    rows = [values[at : at + width] for at in range(0, len(values), width)]
    rows.sort(key=itemgetter(0))
    return [*chain.from_iterable(rows)]


class Pages:
    """The pages of a table in the order of ids. The server builds them."""

    def __init__(self, transaction: Transaction, table: Table):
        self._transaction, self._table, self._after = transaction, table, FIRST
        # A page of the longest rows must fit the server's reply and a block.
        self._size, self._dense = PAGE // max(1, len(table.text_columns)), False

    async def next(self) -> Page | None:
        """The next page; None after the last one."""
        while self._after != LAST:
            last = await self._end()
            ((rows, checksum, text),) = await self._transaction.fetch(
                self._table.sql["backup_page"], (self._after, last)
            )
            if rows and text is None and self._size > 1:
                # seekdb returns no text for some sizes, such as 6.2 MB.
                self._size //= 2
                continue
            self._dense = rows == last - self._after
            self._after = last
            if rows:
                total = Checksum(int(rows), int(checksum))
                return Page(self._table, total, last, text or "")
        return None

    async def _end(self) -> int:
        """The last id of the next page. Between ids without gaps, it is known without a query."""
        if self._dense:
            return min(self._after + self._size, LAST)
        return await end_of_range(self._transaction, self._table, self._after, self._size)
