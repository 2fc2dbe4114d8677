"""The hires of the latest months. They are counted by an index, until there are enough."""

from __future__ import annotations

from calendar import monthrange

from msgspec import Struct

import sql
from service.core.database.replication.limits import Fetch

SQL = sql.statements("reports")
MONTHS = 12
COUNTED = 300_000
"""Counting stops when the counted months have this many hires."""


class Month(Struct, frozen=True):
    """The hires of a month (UTC)."""

    year: int
    month: int
    hired: int

    @property
    def name(self) -> str:
        """Such as 2021-03."""
        return f"{self.year:04}-{self.month:02}"


async def latest_months(fetch: Fetch) -> list[Month]:
    """The latest months that have hires, the oldest of them first; at most MONTHS."""
    months: list[Month] = []
    end = _end_of(9999, 12)
    while len(months) < MONTHS and sum(month.hired for month in months) < COUNTED:
        ((year, month),) = await fetch(SQL["latest_month"], (end,))
        if year is None:
            break
        bounds = f"{year:04}-{month:02}-01", _end_of(year, month)
        ((hired,),) = await fetch(SQL["hires_between"], bounds)
        months.append(Month(year, month, hired))
        end = _end_of(year, month - 1) if month > 1 else _end_of(year - 1, 12)
    return months[::-1]


def _end_of(year: int, month: int) -> str:
    """The last moment of a month."""
    return f"{year:04}-{month:02}-{monthrange(year, month)[1]} 23:59:59.999999"
