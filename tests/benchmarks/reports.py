"""Reports of a year with 1,000,000 hires over HTTP, beside a bare count of the same range."""

from __future__ import annotations

import time
from base64 import b64encode
from collections.abc import AsyncGenerator
from http.client import HTTPConnection

from service.core.database.connect import connect
from service.core.database.migrations import migrate
from service.core.database.transactions import Database
from service.core.reports import REPORTS
from tests.benchmarks import server
from tests.benchmarks.figures import Figure, beside
from tests.support import engine

HIRES, YEAR, RUNS = 1_000_000, 2021, 5
STATEMENT = 10_000
FLOOR = "SELECT COUNT(*) FROM hired_employees WHERE `datetime` >= %s AND `datetime` <= %s"


async def figures(url: str, *, short: bool = False) -> AsyncGenerator[Figure]:
    """The time of each report if all hires are in one year, which is the worst case."""
    settings = engine.settings(url, "bench_reports")
    await engine.create_database(settings)
    async with connect(settings) as database:
        await migrate(database)
        await _fill(database, STATEMENT if short else HIRES)
        with server.service(settings) as (port, _):
            for report in REPORTS:
                yield await _figure(database, port, report.path)


async def _figure(database: Database, port: int, path: str) -> Figure:
    ours, floor = [], []
    for _ in range(RUNS):
        started = time.perf_counter()
        await database.fetch(FLOOR, (f"{YEAR}-01-01", f"{YEAR}-12-31"))
        floor.append((time.perf_counter() - started) * 1000)
        ours.append(_get(port, f"/reports/{path}?year={YEAR}"))
    name = f"{path}, a year of 1 M hires"
    return beside(name, ours, "ms", floor=floor, floor_name="bare COUNT(*), ms", wanted="≤ 1000 ms")


async def _fill(database: Database, hires: int) -> None:
    async with database.transaction() as transaction:
        for table, count in (("departments", 12), ("jobs", 183)):
            named = [(number, f"{table} {number}") for number in range(1, count + 1)]
            await transaction.insert(f"INSERT INTO {table} VALUES (%s, %s)", named)
    for first in range(1, hires + 1, STATEMENT):
        rows = [_hire(number) for number in range(first, first + STATEMENT)]
        async with database.transaction() as transaction:
            await transaction.insert(
                "INSERT INTO hired_employees VALUES (%s, %s, %s, %s, %s)", rows
            )
    await database.fetch("ANALYZE TABLE hired_employees")


def _hire(number: int) -> tuple[int, str, str, int, int]:
    month, day, hour = 1 + number % 12, 1 + number % 28, number % 24
    moment = f"{YEAR}-{month:02}-{day:02} {hour:02}:00:00"
    return number, f"Given Family{number % 389}", moment, 1 + number % 11, 1 + number % 183


def _get(port: int, path: str) -> float:
    """The milliseconds of a request."""
    token = b64encode(f"admin:{server.PASSWORD}".encode()).decode()
    connection = HTTPConnection("127.0.0.1", port)
    started = time.perf_counter()
    connection.request("GET", path, headers={"Authorization": f"Basic {token}"})
    reply = connection.getresponse()
    assert reply.read()
    assert reply.status == 200
    connection.close()
    return (time.perf_counter() - started) * 1000
