"""The plans of lists: each follows an index, and no page sorts or reads more than a bound.

With LISTS=full, the tables have a million rows, and the first page of each query has 50 ms.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import AsyncIterator, Sequence
from itertools import product
from typing import Any, cast

import msgspec
import pytest

from service.core.database.connect import connect
from service.core.database.migrations import migrate
from service.core.database.transactions import Database
from service.core.reads import pages, paths
from service.core.reads.orders import orders_of
from service.core.reads.query import Query, query_of
from service.core.settings import Settings
from service.core.tables import TABLES, by_path
from tests.support import engine

EMPLOYEES = by_path("employees")
FULL = os.environ.get("LISTS") == "full"
ROWS = 1_000_000 if FULL else 20_000
SCAN = paths.SCAN if FULL else 200
SECONDS = 0.05
"""For the first page at a million rows."""
DIGITS = "(SELECT 0 AS d" + "".join(f" UNION ALL SELECT {digit}" for digit in range(1, 10)) + ")"
HIRES = """
INSERT INTO hired_employees (id, name, `datetime`, department_id, job_id)
SELECT n + 1,
    CONCAT(CHAR(65 + n * 7 %% 26), ELT(1 + n %% 5, 'da', 'lma', 'rlo', 'vi', 'ko'), ' ',
        CHAR(65 + n * 11 %% 26), n %% 997),
    DATE_ADD('2021-01-01', INTERVAL n * 7919 %% 31536000 SECOND),
    1 + n * 5 %% 12, 1 + n * 13 %% 183
FROM (SELECT {number} AS n FROM {digits}) AS numbers WHERE n < %s ORDER BY n
"""
INDEXES = """
SELECT index_name, column_name FROM information_schema.statistics
WHERE table_schema = DATABASE() AND table_name = %s ORDER BY index_name, seq_in_index
"""

FILTERS: dict[str, list[list[str]]] = {
    "id": [["7", "70", "700"]],
    "department_id": [["3"], ["3", "4"]],
    "job_id": [["5"], ["5", "6", "7"]],
    "name": [["Ada L"], ["A"], ["zzz"], ["A", "B", "C"]],
    "hired_from": [["2021-03-01T00:00:00Z"]],
    "hired_before": [["2021-03-02T00:00:00Z"], ["2021-12-01T00:00:00Z"]],
}


def some() -> list[dict[str, list[str]]]:
    """Each filter alone, and all combinations of the first and of the last value of each."""
    alone = [{name: value} for name, values in FILTERS.items() for value in values]
    combined = [
        {name: FILTERS[name][at] for name, chosen in zip(FILTERS, mask, strict=True) if chosen}
        for mask in product((False, True), repeat=len(FILTERS))
        for at in (0, -1)
    ]
    return [*alone, *combined]


QUERIES = [
    query_of(EMPLOYEES, {**texts, "order": [order]})
    for texts in some()
    for order in orders_of(EMPLOYEES)
]


@pytest.fixture(scope="module")
async def full(settings: Settings) -> AsyncIterator[Database]:
    """A database of its own with many hires in 12 departments and 183 jobs."""
    own = msgspec.structs.replace(settings, mysql_database=f"{settings.mysql_database}_lists")
    await engine.create_database(own)
    async with connect(own) as database:
        await migrate(database)
        await _fill(database)
        yield database
    await engine.drop_database(own)


async def _fill(database: Database) -> None:
    digits = ", ".join(f"{DIGITS} AS d{at}" for at in range(len(str(ROWS - 1))))
    number = " + ".join(f"d{at}.d * {10**at}" for at in range(len(str(ROWS - 1))))
    async with database.transaction(600) as transaction:
        for name, count in (("departments", 12), ("jobs", 183)):
            rows = [(at, f"{name} {at}") for at in range(1, count + 1)]
            await transaction.insert(by_path(name).sql["insert_with_id"], rows)
        await transaction.execute(HIRES.format(number=number, digits=digits), (ROWS,))
    await database.fetch("ANALYZE TABLE hired_employees")


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.path)
async def test_the_indexes_that_lists_name_exist(database: Database, table: Any) -> None:
    found: dict[str, list[str]] = {}
    for index, column in await database.fetch(INDEXES, (table.name,)):
        found.setdefault(index, []).append(column)
    for field in table.fields:
        if field.index:
            assert [*found[table.index(field)], "id"] == list(field.index)


class Watched:
    """A database that notes what a page reads."""

    def __init__(self, database: Database):
        self._database = database
        self.statements: list[tuple[str, Sequence[Any]]] = []

    async def fetch(self, statement: str, parameters: Sequence[Any] = ()) -> list[Any]:
        self.statements.append((statement, parameters))
        return await self._database.fetch(statement, parameters)


async def test_no_page_reads_more_than_a_limited_number_of_rows(
    full: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the server says that it read, for each combination of filters and each order."""
    if full.embedded:
        pytest.skip("only MySQL says how many rows each step of a plan read")
    monkeypatch.setattr(paths, "SCAN", SCAN)
    for query in QUERIES:
        for after in await _starts(full, query):
            watched = Watched(full)
            started = Query(query.table, query.conditions, query.order, after)
            await pages.page(cast("Database", watched), started, 100)
            assert watched.statements
            for statement, values in watched.statements:
                plan = await full.fetch(f"EXPLAIN ANALYZE {statement}", values)
                text = "\n".join(str(row[0]) for row in plan)
                assert _rows_read(text) <= SCAN + 1000, (query.order.name, values, text)
                assert "Table scan on hired_employees" not in text, text


def _rows_read(plan: str) -> int:
    """The most rows that one step of a plan returned in all its loops, by EXPLAIN ANALYZE."""
    found = re.findall(r"actual time=\S+ rows=(\S+) loops=(\d+)", plan)
    return max(round(float(rows) * int(loops)) for rows, loops in found)


async def _starts(full: Database, query: Query) -> list[Any]:
    """The first page, and one in the middle of the table."""
    row = (await full.fetch(EMPLOYEES.sql["find"], (ROWS // 2,)))[0]
    return [None, query.order.key(row)]


@pytest.mark.skipif(not FULL, reason="LISTS=full")
async def test_a_first_page_takes_50_ms(full: Database) -> None:
    slow = {}
    for query in QUERIES:
        took = []
        for _ in range(5):
            began = time.perf_counter()
            await pages.page(full, query, 100)
            took.append(time.perf_counter() - began)
        if min(took) > SECONDS:
            slow[query.order.name, str(query.conditions)] = min(took)
    assert slow == {}
