"""A list as a file, beside Python's csv module writing the same rows from memory."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any

from service.core.database.transactions import Database
from service.core.reads import exports
from service.core.reads.query import query_of
from service.core.tables import by_path
from tests.benchmarks.figures import Figure, beside

EMPLOYEES = by_path("employees")


async def as_csv(database: Database, rows: Sequence[tuple[Any, ...]], runs: int) -> Figure:
    """All hires as CSV; `rows` are the same hires."""
    ours, alone = [], []
    for _ in range(runs):
        started = time.perf_counter()
        lines = await _lines(database)
        ours.append(lines / (time.perf_counter() - started))
        started = time.perf_counter()
        csv.writer(io.StringIO()).writerows(rows)
        alone.append(len(rows) / (time.perf_counter() - started))
    return beside(
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
