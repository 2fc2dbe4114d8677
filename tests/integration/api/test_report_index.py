"""Reports and the list of years are read along the index of the moments."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from service.core.database.transactions import Database
from service.core.reports import REPORTS, SQL, moments, years
from tests.integration.api.test_reports import put


async def test_the_years_are_those_with_hires(database: Database) -> None:
    assert await years(database) == []
    moments = ("1000-01-01", "2021-12-31 23:59:59.999999", "2021-01-01", "1999-07-01", "9999-12-31")
    await put(database, [(moment, 1, 1) for moment in moments])
    assert await years(database) == [9999, 2021, 1999, 1000]


READS = {report.name: report.periods(2021) for report in REPORTS} | {"mean": moments(2021)}
"""The parameters of each statement that counts the hires of a year."""


async def plan(database: Database, name: str, parameters: Sequence[str]) -> str:
    rows = await database.fetch(f"EXPLAIN FORMAT=TREE {SQL[name]}", parameters)
    return "\n".join(str(row[0]) for row in rows)


@pytest.mark.parametrize("name", READS)
async def test_a_year_is_read_along_the_index(database: Database, name: str) -> None:
    ((version,),) = await database.fetch("SELECT VERSION()")
    if not version.startswith("9."):
        pytest.skip("the plan is in MySQL's words")
    moments = [f"{2000 + n % 25}-0{1 + n % 9}-11" for n in range(2000)]
    await put(database, [(moment, 1 + n % 3, 1 + n % 2) for n, moment in enumerate(moments)])
    await database.fetch("ANALYZE TABLE hired_employees, departments, jobs")
    lines = (await plan(database, name, READS[name])).splitlines()
    reads = [line for line in lines if " on hired_employees" in line]
    assert len(reads) == len(READS[name]) / 2, lines
    for line in reads:
        assert "Covering index range scan on hired_employees" in line, line
        assert "using hired_employees_datetime" in line, line


async def test_the_year_before_is_one_look_at_the_index(database: Database) -> None:
    ((version,),) = await database.fetch("SELECT VERSION()")
    if not version.startswith("9."):
        pytest.skip("the plan is in MySQL's words")
    await put(database, [(f"{year}-05-05", 1, 1) for year in range(2000, 2025)])
    text = await plan(database, "latest_year_before", moments(2021)[:1])
    assert "Rows fetched before execution" in text
