"""A table of many hires that the server makes by itself, and the searches to try on it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import product

import msgspec

from service.core.database.connect import connect
from service.core.database.migrations import migrate
from service.core.database.transactions import Database
from service.core.settings import Settings
from service.core.tables import by_path
from tests.support import engine

FULL = os.environ.get("LISTS") == "full"
ROWS = 1_000_000 if FULL else 20_000
DEPARTMENTS, JOBS = 12, 183
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
FILTERS: dict[str, list[list[str]]] = {
    "id": [["7", "70", "700"]],
    "department_id": [["3"], ["3", "4"]],
    "job_id": [["5"], ["5", "6", "7"]],
    "name": [["Ada L"], ["A"], ["zzz"], ["A", "B", "C"]],
    "hired_from": [["2021-03-01T00:00:00Z"]],
    "hired_before": [["2021-03-02T00:00:00Z"], ["2021-12-01T00:00:00Z"]],
}

MANY = [str(number) for number in range(3, 3003, 3)]
PREFIXES = [chr(ord("C") + at) for at in range(20)]
OF_MANY: list[dict[str, list[str]]] = [
    {"id": MANY, "name": PREFIXES},
    {"department_id": MANY},
    {"department_id": MANY, "job_id": MANY, "name": PREFIXES},
    {"job_id": [str(1000 + number) for number in range(1000)]},
]
"""As many values as a filter takes, which a program can send: of some rows, and of none."""


@asynccontextmanager
async def many_hires(settings: Settings) -> AsyncIterator[Settings]:
    """Settings of a database of its own with ROWS hires in 12 departments and 183 jobs."""
    own = msgspec.structs.replace(settings, mysql_database=f"{settings.mysql_database}_lists")
    await engine.create_database(own)
    async with connect(own) as database:
        await migrate(database)
        await _fill(database)
    yield own
    await engine.drop_database(own)


async def _fill(database: Database) -> None:
    digits = ", ".join(f"{DIGITS} AS d{at}" for at in range(len(str(ROWS - 1))))
    number = " + ".join(f"d{at}.d * {10**at}" for at in range(len(str(ROWS - 1))))
    async with database.transaction(600) as transaction:
        for name, count in (("departments", DEPARTMENTS), ("jobs", JOBS)):
            rows = [(at, f"{name} {at}") for at in range(1, count + 1)]
            await transaction.insert(by_path(name).sql["insert_with_id"], rows)
        await transaction.execute(HIRES.format(number=number, digits=digits), (ROWS,))
    await database.fetch("ANALYZE TABLE hired_employees")


def searches() -> list[dict[str, list[str]]]:
    """Each filter alone, and all combinations of the first and of the last value of each."""
    alone = [{name: value} for name, values in FILTERS.items() for value in values]
    combined = [
        {name: FILTERS[name][at] for name, chosen in zip(FILTERS, mask, strict=True) if chosen}
        for mask in product((False, True), repeat=len(FILTERS))
        for at in (0, -1)
    ]
    return [*alone, *combined]
