"""A list as a file, beside Python's csv module writing the same rows from memory."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

from service.core.database.transactions import Database
from service.core.reads import exports
from service.core.reads.query import query_of
from tests.benchmarks import hires
from tests.benchmarks.figures import Figure, beside, seconds
from tests.benchmarks.hires import EMPLOYEES
from tests.support import engine

RUNS = 3


async def figures(url: str, *, short: bool = False) -> AsyncGenerator[Figure]:
    """All hires as CSV, on the server at `url`."""
    number, runs = (hires.SHORT, 1) if short else (hires.NUMBER, RUNS)
    rows = hires.rows(1, number)
    ours, alone = [], []
    async with hires.stored(engine.settings(url, "bench_exports"), number) as database:
        for _ in range(runs):
            started = time.perf_counter()
            lines = await _lines(database)
            ours.append(lines / (time.perf_counter() - started))
            alone.append(number / seconds(lambda: csv.writer(io.StringIO()).writerows(rows)))
    yield beside(
        "a list as CSV",
        ours,
        "rows/s",
        floor=alone,
        floor_name="csv.writer writing from memory",
        wanted="≥ 150,000 rows/s",
    )


async def _lines(database: Database) -> int:
    async with aclosing(exports.stream(database, query_of(EMPLOYEES, {}), "csv")) as chunks:
        return sum([chunk.count(b"\n") async for chunk in chunks])
