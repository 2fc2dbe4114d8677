"""A database with as many hires as a benchmark needs; BENCH_HIRES sets their number."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from service.core.backups import backup
from service.core.database.connect import connect
from service.core.database.migrations import migrate
from service.core.database.transactions import Database
from service.core.settings import Settings
from service.core.tables import TABLES, by_path
from tests.support import engine

NUMBER, SHORT = int(os.environ.get("BENCH_HIRES", "1000000")), 20_000
STEP = 10_000
EMPLOYEES = by_path("employees")
INSERT = (
    "INSERT INTO hired_employees (id, name, `datetime`, department_id, job_id) "
    "VALUES (%s, %s, %s, %s, %s)"
)
Row = tuple[int, str, str, int, int]


@asynccontextmanager
async def stored(settings: Settings, number: int) -> AsyncIterator[Database]:
    """A new database with departments, jobs and this number of hires."""
    await engine.create_database(settings)
    async with connect(settings) as database:
        await migrate(database)
        async with database.transaction(600) as transaction:
            for table, count in zip(TABLES, (12, 183), strict=False):
                named = [(n, f"{table.name} {n}") for n in range(1, count + 1)]
                await transaction.insert(table.sql["insert_with_id"], named)
        await add(database, 1, number)
        yield database


async def add(database: Database, first: int, number: int) -> None:
    """Insert hires, from the id `first` on."""
    for start in range(first, first + number, STEP):
        async with database.transaction(600) as transaction:
            await transaction.insert(INSERT, rows(start, min(STEP, first + number - start)))


def rows(first: int, number: int) -> list[Row]:
    """Rows of hires for an INSERT."""
    return [
        (
            n,
            f"Given{n * 7919 % 997} Family{n * 104_729 % 3989}",
            f"2021-{n % 12 + 1:02}-{n % 28 + 1:02}T{n % 24:02}:{n % 60:02}:{n * 31 % 60:02}",
            n * 7 % 12 + 1,
            n * 13 % 183 + 1,
        )
        for n in range(first, first + number)
    ]


async def backup_of(database: Database) -> bytes:
    """A backup of the hires."""
    return b"".join([piece async for piece in backup.stream_table(database, EMPLOYEES, "deflate")])
