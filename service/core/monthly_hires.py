"""The hires of the latest months. They are counted by an index, until there are enough."""

from __future__ import annotations

from msgspec import Struct

import sql
from service.core.database.replication.limits import Fetch
from service.core.reports import moments

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
    ((latest,),) = await fetch(SQL["latest_hire"])
    while latest and len(months) < MONTHS and sum(month.hired for month in months) < COUNTED:
        year, month = int(latest[:4]), int(latest[5:7])
        first, last = moments(year, month, month)
        ((hired, latest),) = await fetch(SQL["hires_of_month"], (first, first, last))
        months.append(Month(year, month, hired))
    return months[::-1]
