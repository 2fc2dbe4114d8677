"""The hires of the latest months. They are counted by an index, until there are enough."""

from __future__ import annotations

from msgspec import Struct

import sql
from service.core.database.replication.limits import Fetch
from service.core.reports import LAST_YEAR, moments

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
    _, end = moments(LAST_YEAR)
    while len(months) < MONTHS and sum(month.hired for month in months) < COUNTED:
        ((year, month),) = await fetch(SQL["latest_month"], (end,))
        if year is None:
            break
        ((hired,),) = await fetch(SQL["hires_between"], moments(year, month, month))
        months.append(Month(year, month, hired))
        _, end = moments(year, 1, month - 1) if month > 1 else moments(year - 1)
    return months[::-1]
