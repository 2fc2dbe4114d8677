"""Reports of any hires are the counts in Python, mainly at the edges of quarters and of years."""

from __future__ import annotations

from collections import Counter
from typing import Any

import httpx
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from service.core.database.transactions import Database
from service.core.monthly_hires import latest_months
from service.core.reports import FIRST_YEAR, LAST_YEAR, compared, mean
from service.core.tables import TABLES
from tests.integration.api.test_reports import (
    ABOVE,
    QUARTERLY,
    above_mean,
    by_quarter,
    put,
    stored,
)

YEARS = (FIRST_YEAR, FIRST_YEAR + 1, 2020, 2021, LAST_YEAR - 1, LAST_YEAR)
ENDS = {1: "03-31", 4: "06-30", 7: "09-30", 10: "12-31"}
FIRST = [f"{year}-{month:02}-01" for year in YEARS for month in ENDS]
LAST = [f"{year}-{end} 23:59:59.999999" for year in YEARS for end in ENDS.values()]
"""The first and the last moments of quarters."""
moments = st.sampled_from(FIRST + LAST) | st.builds(
    "{}-{:02}-{:02} {:02}:30:00".format,
    st.sampled_from(YEARS),
    st.integers(1, 12),
    st.integers(1, 28),
    st.integers(0, 23),
)
hires = st.tuples(moments, st.integers(1, 3), st.integers(1, 2))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(rows=st.lists(hires, max_size=60), year=st.sampled_from(YEARS))
@example(rows=[(moment, 1, 1) for moment in FIRST], year=LAST_YEAR)
@example(rows=[(moment, 2, 1) for moment in LAST], year=FIRST_YEAR)
@example(rows=[(moment, 3, 2) for moment in LAST], year=LAST_YEAR)
async def test_reports_of_any_hires_equal_the_counts_in_python(
    client: httpx.AsyncClient, database: Database, rows: list[tuple[str, int, int]], year: int
) -> None:
    await _refill(database, rows)
    tables = await stored(database)
    for path, count in ((QUARTERLY, by_quarter), (ABOVE, above_mean)):
        assert (await client.get(path, params={"year": year})).json() == count(tables, year)
    hired = Counter(row[2][:4] for row in tables["hired_employees"])
    assert await mean(database, year) == hired[f"{year:04}"] / len(tables["departments"])
    await _compare(database, tables, year)
    months = Counter(row[2][:7] for row in tables["hired_employees"])
    latest = [(month.name, month.hired) for month in await latest_months(database.fetch)]
    assert latest == sorted(months.items())[-12:]


async def _compare(database: Database, tables: dict[str, list[Any]], year: int) -> None:
    rows = await compared(database, year)
    for counted, at in (("hired", year), ("before", year - 1)):
        quarters = [(row.department, row.job, *getattr(row, counted)) for row in rows]
        expected = [tuple(row.values()) for row in by_quarter(tables, at)]
        assert [row for row in quarters if any(row[2:])] == expected


async def _refill(database: Database, rows: list[tuple[str, int, int]]) -> None:
    async with database.transaction() as transaction:
        for table in reversed(TABLES):
            await transaction.execute(f"DELETE FROM {table.name}")
    await put(database, rows)
