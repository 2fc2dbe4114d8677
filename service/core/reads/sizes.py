"""The number of rows in a table, found in a time that does not grow with the table."""

from __future__ import annotations

import math

from msgspec import Struct

import sql
from service.core.database.replication.limits import Fetch
from service.core.reads.filters import SQL
from service.core.tables import Table

EXACT = 100_000
"""The most rows that are counted, which takes some hundredths of a second. More are estimated."""
DIGITS = 3
"""Significant digits of an estimate. The estimates of servers are often wrong by a tenth."""


class Size(Struct, frozen=True):
    """The number of rows; if it is not exact, an estimate, or EXACT if the table has more."""

    rows: int
    exact: bool

    def __str__(self) -> str:
        if self.exact:
            return f"{self.rows:,}"
        return f"about {self.rows:,}" if self.rows > EXACT else f"over {self.rows:,}"


async def size_of(fetch: Fetch, table: Table) -> Size:
    """The rows of a table: counted up to EXACT, else as the server estimates them."""
    statement = sql.with_names(SQL["count_up_to"], table=table.name, index="PRIMARY")
    statement = sql.with_parts(statement, conditions=SQL["all_rows"])
    ((counted,),) = await fetch(statement, (EXACT + 1,))
    if counted <= EXACT:
        return Size(int(counted), exact=True)
    ((estimate,),) = await fetch(SQL["estimate"], (table.name,))
    return Size(max(_rounded(int(estimate or 0)), EXACT), exact=False)


def _rounded(number: int) -> int:
    return round(number, DIGITS - math.ceil(math.log10(number + 1)))
