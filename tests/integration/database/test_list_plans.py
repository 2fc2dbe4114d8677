"""The plans of lists: each follows an index, and no page sorts or reads more than a bound.

With LISTS=full, the tables have a million rows, and the first page of each query has 50 ms.
"""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any, cast

import pytest

from service.core.database.connect import connect
from service.core.database.transactions import Database
from service.core.reads import pages, paths
from service.core.reads.orders import orders_of
from service.core.reads.query import Query, query_of
from service.core.settings import Settings
from service.core.tables import TABLES, by_path
from tests.support.many_hires import FULL, OF_MANY, ROWS, many_hires, searches

EMPLOYEES = by_path("employees")
SCAN = paths.SCAN if FULL else 200
SECONDS = 0.05
"""For the first page at a million rows."""
INDEXES = """
SELECT index_name, column_name FROM information_schema.statistics
WHERE table_schema = DATABASE() AND table_name = %s ORDER BY index_name, seq_in_index
"""

QUERIES = [
    query_of(EMPLOYEES, {**texts, "order": [order]})
    for texts in [*searches(), *OF_MANY]
    for order in orders_of(EMPLOYEES)
]


@pytest.fixture(scope="module")
async def full(settings: Settings) -> AsyncIterator[Database]:
    """A database of its own with many hires in 12 departments and 183 jobs."""
    async with many_hires(settings) as own, connect(own) as database:
        yield database


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
