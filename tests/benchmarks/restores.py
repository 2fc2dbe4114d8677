"""Restores and their dry runs, beside aiomysql's executemany in one transaction."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncGenerator

import aiomysql

from service.core.backups.preview import preview
from service.core.backups.restore import restore
from service.core.database.transactions import Database
from service.core.settings import Settings
from tests.benchmarks import hires
from tests.benchmarks.batches import empty
from tests.benchmarks.figures import Figure, beside, seconds_of, single
from tests.benchmarks.hires import EMPLOYEES, INSERT, STEP, Row
from tests.support import engine

RUNS = 3


async def figures(url: str, *, short: bool = False) -> AsyncGenerator[Figure]:
    """All figures of this module, on the server at `url`."""
    number, runs = (hires.SHORT, 1) if short else (hires.NUMBER, RUNS)
    settings = engine.settings(url, "bench_restores")
    async with hires.stored(settings, number) as database:
        content = await hires.backup_of(database)
        for figure in await _into_an_empty_table(settings, database, content, number, runs):
            yield figure
        for figure in await _over_the_same_rows(database, content, number, runs):
            yield figure


async def _into_an_empty_table(
    settings: Settings, database: Database, content: bytes, number: int, runs: int
) -> list[Figure]:
    values = hires.rows(1, number)
    ours, bare, dry = [], [], []
    for _ in range(runs):
        await asyncio.to_thread(empty, settings)
        bare.append(number / await seconds_of(_executemany(database, values)))
        await asyncio.to_thread(empty, settings)
        dry.append(number / await seconds_of(_try(database, content)))
        ours.append(number / await seconds_of(_put_back(database, content)))
    return [
        beside(
            "restore into an empty table",
            ours,
            "rows/s",
            floor=bare,
            floor_name="bare executemany, one transaction",
            wanted="≥ 1.5",
        ),
        _dry_run("its dry run", dry, ours),
    ]


async def _over_the_same_rows(
    database: Database, content: bytes, number: int, runs: int
) -> list[Figure]:
    ours, dry = [], []
    for _ in range(runs):
        dry.append(number / await seconds_of(_try(database, content)))
        ours.append(number / await seconds_of(_put_back(database, content)))
    return [
        single("restore over the same rows", ours, "rows/s"),
        _dry_run("dry run over the same rows", dry, ours),
    ]


def _dry_run(name: str, rates: list[float], restores: list[float]) -> Figure:
    return beside(
        name,
        rates,
        "rows/s",
        floor=restores,
        floor_name="the restore",
        wanted="the same order of time",
    )


async def _executemany(database: Database, values: list[Row]) -> None:
    connection = await database.pool.acquire()
    await connection.begin()
    async with connection.cursor(aiomysql.Cursor) as cursor:
        for start in range(0, len(values), STEP):
            await cursor.executemany(INSERT, values[start : start + STEP])
    await connection.commit()
    database.pool.release(connection)


async def _put_back(database: Database, content: bytes) -> None:
    (done,) = await restore(database, [(EMPLOYEES, io.BytesIO(content))], "replace")
    assert done.verified


async def _try(database: Database, content: bytes) -> None:
    (done,) = await preview(database, [(EMPLOYEES, io.BytesIO(content))], "replace")
    assert done.verified
