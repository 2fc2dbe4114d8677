"""Batches over HTTP, beside a bare loop of `executemany` and beside an ORM."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from itertools import count
from statistics import quantiles
from typing import Any

import aiomysql
import msgspec
import pymysql

from service.core import tables
from service.core.database.connect import connect
from service.core.database.literals import render
from service.core.database.migrations import migrate
from service.core.rules import batch
from service.core.settings import Settings
from tests.benchmarks import server
from tests.benchmarks.figures import Figure, beside, single
from tests.support import engine
from tests.support.processes import resident

ROWS, CLIENTS, RUNS = 1000, 4, 9
EMPLOYEES = tables.by_path("employees")
INSERT = (
    "INSERT INTO hired_employees (name, `datetime`, department_id, job_id) VALUES (%s, %s, %s, %s)"
)
Row = tuple[str, str, int, int]
_keys = count()


async def figures(url: str, *, short: bool = False) -> AsyncGenerator[Figure]:
    """All figures of this module, on the server at `url`."""
    settings = await prepared(url, "bench_batches")
    batches = 20 if short else 150
    with ExitStack() as stack:
        port, pid = stack.enter_context(server.service(settings))
        ports = {1: port} | {
            workers: stack.enter_context(server.service(settings, workers=workers))[0]
            for workers in (2, 4)
        }
        for figure in await _throughput(settings, ports, batches, 2 if short else RUNS):
            yield figure
        for figure in _latency(port, 5 if short else 40):
            yield figure
        yield await _orm(settings, port, 50 if short else 1000)
        for figure in _cpu(port, pid, batches):
            yield figure
        yield _memory(port, pid, 200 if short else 2000)


async def prepared(url: str, name: str) -> Settings:
    """Settings of a new database on the server at `url`, with departments and jobs for `rows`."""
    settings = engine.settings(url, name)
    await engine.create_database(settings)
    async with connect(settings) as database:
        await migrate(database)
        async with database.transaction() as transaction:
            for table, column, number in (("departments", "department", 12), ("jobs", "job", 183)):
                names = [(f"{column[0]}{n}",) for n in range(number)]
                await transaction.insert(f"INSERT INTO {table} ({column}) VALUES (%s)", names)
    return settings


def rows(number: int = ROWS) -> list[Row]:
    """Rows of hires for an INSERT."""
    start = datetime(2021, 1, 1, tzinfo=UTC).replace(tzinfo=None)
    return [
        (
            f"Given{n % 97} Family{n % 389}",
            (start + timedelta(minutes=7 * n)).isoformat(),
            n % 12 + 1,
            n % 183 + 1,
        )
        for n in range(number)
    ]


def body(given: Sequence[Row]) -> bytes:
    """Rows as the body of a request."""
    names = ("name", "datetime", "department_id", "job_id")
    return msgspec.json.encode(
        [
            dict(zip(names, (name, f"{moment}Z", department, job), strict=True))
            for name, moment, department, job in given
        ]
    )


async def _throughput(
    settings: Settings, ports: dict[int, int], batches: int, runs: int
) -> list[Figure]:
    """Rows per second by the number of workers."""
    shapes = [(1, ""), *((workers, " with keys") for workers in ports)]
    rates: dict[tuple[int, str], list[float]] = {shape: [] for shape in shapes}
    floor = []
    for _ in range(runs):
        empty(settings)
        floor.append(await _bare(settings, batches))
        for workers, keys in shapes:
            empty(settings)
            rates[workers, keys].append(_post(ports[workers], batches, keyed=bool(keys))[0])
    return [
        beside(
            f"batches of {ROWS}{keys}, {workers} worker{'s' if workers > 1 else ''}",
            ours,
            "rows/s",
            floor=floor,
            floor_name="bare executemany",
            wanted=None if keys else "≥ 1.05",
        )
        for (workers, keys), ours in rates.items()
    ]


def empty(settings: Settings) -> None:
    """Delete all hires, keys and rejects."""
    with _connection(settings) as connection, connection.cursor() as cursor:
        # A table that another one refers to cannot be truncated with the checks of foreign keys.
        cursor.execute("SET foreign_key_checks = 0")
        for table in ("hired_employees", "idempotency_keys", "reject_outcomes", "rejects"):
            cursor.execute(f"TRUNCATE TABLE {table}")


async def _bare(settings: Settings, batches: int) -> float:
    """Rows per second of aiomysql alone, with rows that are prepared before."""
    prepared, left = rows(), iter(range(batches))
    options = options_of(settings)
    connections = [await aiomysql.connect(charset="utf8mb4", **options) for _ in range(CLIENTS)]

    async def client(connection: aiomysql.Connection) -> None:
        async with connection.cursor() as cursor:
            for _ in left:
                await cursor.executemany(INSERT, prepared)
                await connection.commit()

    started = time.perf_counter()
    await asyncio.gather(*map(client, connections))
    seconds = time.perf_counter() - started
    for connection in connections:
        connection.close()
    return batches * ROWS / seconds


def _post(
    port: int, batches: int, number: int = ROWS, *, keyed: bool = True
) -> tuple[float, list[float]]:
    """Rows per second over HTTP with CLIENTS clients, and the seconds of each request."""
    content, left = body(rows(number)), iter(range(batches))
    started = time.perf_counter()
    with ThreadPoolExecutor(CLIENTS) as threads:
        lists = threads.map(lambda _: list(_client(port, content, left, keyed)), range(CLIENTS))
        seconds = [second for part in lists for second in part]
    return batches * number / (time.perf_counter() - started), seconds


def _client(port: int, content: bytes, left: Iterator[int], keyed: bool) -> Iterator[float]:
    connection = HTTPConnection("127.0.0.1", port)
    headers = {"Authorization": server.CREDENTIALS, "Content-Type": "application/json"}
    for _ in left:
        started = time.perf_counter()
        key = {"Idempotency-Key": f"bench-{os.getpid()}-{next(_keys)}"} if keyed else {}
        connection.request("POST", "/employees", content, headers | key)
        reply = connection.getresponse()
        reply.read()
        assert reply.status == 201, reply.status
        yield time.perf_counter() - started
    connection.close()


def _latency(port: int, batches: int) -> list[Figure]:
    _, seconds = _post(port, batches * CLIENTS)
    ones_rate, ones = _post(port, batches * CLIENTS, 1)
    return [
        single("batch of 1000, p50", [_percentile(seconds, 50)], "ms"),
        single("batch of 1000, p99", [_percentile(seconds, 99)], "ms"),
        single("batches of one, rows/s", [ones_rate], "rows/s"),
        single("batch of one, p50", [_percentile(ones, 50)], "ms"),
        single("batch of one, p99", [_percentile(ones, 99)], "ms"),
    ]


def _percentile(seconds: list[float], percent: int) -> float:
    return quantiles(seconds, n=100, method="inclusive")[percent - 1] * 1000


async def _orm(settings: Settings, port: int, number: int) -> Figure:
    from tests.benchmarks.orm import insert_one_by_one

    ours, floor = [], []
    for _ in range(3):
        empty(settings)
        floor.append(await asyncio.to_thread(insert_one_by_one, settings, rows(number)))
        ours.append(_post(port, max(20, number // 10))[0])
    return beside(
        "batches of 1000 beside an ORM",
        ours,
        "rows/s",
        floor=floor,
        floor_name="SQLAlchemy, a commit a row",
        wanted="≥ 100",
    )


def _cpu(port: int, pid: int, batches: int) -> list[Figure]:
    """CPU time per row, in µs: of the whole service, and of its parts measured separately."""
    before = server.cpu_seconds(pid)
    _post(port, batches)
    whole = (server.cpu_seconds(pid) - before) / (batches * ROWS) * 1e6
    raw = rows()
    content = body(raw)
    decode = _micros(lambda: msgspec.json.decode(content, type=list[dict[str, object]]))
    validate = _micros(lambda: batch.from_json(EMPLOYEES, content))
    sql = _micros(lambda: render("(%s, %s, %s, %s)", raw, lambda text: text))
    return [
        single("CPU of the service", [whole], "µs/row"),
        single("CPU, JSON alone", [decode], "µs/row"),
        single("CPU, JSON and validation", [validate], "µs/row"),
        single("CPU, SQL text", [sql], "µs/row"),
        single("CPU, wire and the rest", [whole - validate - sql], "µs/row"),
    ]


def _micros(work: Callable[[], object]) -> float:
    times = []
    for _ in range(20):
        started = time.process_time()
        work()
        times.append(time.process_time() - started)
    return min(times) / ROWS * 1e6


def _memory(port: int, pid: int, batches: int) -> Figure:
    _post(port, 100)
    early = resident(pid)
    _post(port, batches - 100)
    return single("memory grown, batch 100 to the last", [resident(pid) - early], "MiB", "≤ 20")


def options_of(settings: Settings) -> dict[str, Any]:
    """The options of aiomysql and pymysql for this database."""
    return {
        "host": settings.mysql_host,
        "port": settings.mysql_port,
        "user": settings.mysql_user,
        "password": settings.mysql_password,
        "db": settings.mysql_database,
    }


def _connection(settings: Settings) -> Any:
    return pymysql.connect(autocommit=True, **options_of(settings))
