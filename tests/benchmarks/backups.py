"""Backups and their verification, beside mysqldump, fastavro alone and an ORM."""

from __future__ import annotations

import asyncio
import io
import subprocess
import sys
import time
from collections.abc import AsyncGenerator
from datetime import datetime, timedelta
from itertools import pairwise
from statistics import quantiles
from typing import Any

import fastavro

from service.core.backups import backup
from service.core.backups.format import avro_schema
from service.core.backups.verify import _verify
from service.core.database.connect import connect
from service.core.database.transactions import Database
from service.core.settings import Settings
from tests.benchmarks import hires
from tests.benchmarks.dump import beside_mysqldump
from tests.benchmarks.figures import Figure, beside, seconds, seconds_of, single
from tests.benchmarks.hires import EMPLOYEES, backup_of
from tests.support import engine, processes

RUNS = 3
MORE = 5
"""This many times the rows, to check that memory does not grow."""
SCHEMA = avro_schema.schema(EMPLOYEES)
MAGIC = b"Obj\x01"
"""The first bytes of an Avro file."""
PLAIN = {
    **SCHEMA,
    "fields": [
        {"name": field.name, "type": "string" if field.name == "name" else "long"}
        for field in EMPLOYEES.stored_fields
    ],
}
HEADER, FIRST_ROWS = 2, 3
"""The chunks of a stream with the header, which is the first byte, and with the first rows."""


async def figures(url: str, *, short: bool = False) -> AsyncGenerator[Figure]:
    """All figures of this module, on the server at `url`."""
    number, runs = (hires.SHORT, 1) if short else (hires.NUMBER, RUNS)
    settings = engine.settings(url, "bench_backups")
    async with hires.stored(settings, number) as database:
        for figure in await beside_mysqldump(settings, database, number, runs):
            yield figure
        content = await backup_of(database)
        for figure in await _beside_fastavro(database, content, number, runs):
            yield figure
        for figure in await _silence(database, runs):
            yield figure
        yield await _lag(database)
        yield _orm(settings, number)
        yield _verify_beside_fastavro(content, number, runs)
        yield _memory(settings, "backup, memory above idle")
        await hires.add(database, number + 1, 0 if short else (MORE - 1) * number)
        yield _memory(settings, f"backup, memory above idle, {MORE} × the rows")


async def _beside_fastavro(
    database: Database, content: bytes, number: int, runs: int
) -> list[Figure]:
    """A backup, beside fastavro writing the same rows from memory."""
    records: list[Any] = [*fastavro.reader(io.BytesIO(content))]
    plain = [{**record, "datetime": _micros(record["datetime"])} for record in records]
    ours, datetimes, numbers = [], [], []
    for _ in range(runs):
        ours.append(number / await seconds_of(backup_of(database)))
        datetimes.append(number / seconds(lambda: _write(records, SCHEMA)))
        numbers.append(number / seconds(lambda: _write(plain, PLAIN)))
    return [
        beside(
            f"backup, {what}",
            ours,
            "rows/s",
            floor=floor,
            floor_name=f"fastavro from {what}",
            wanted=wanted,
        )
        for floor, what, wanted in (
            (datetimes, "datetimes", "≥ 0.75"),
            (numbers, "plain numbers", None),
        )
    ]


def _micros(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1)) // timedelta(microseconds=1)  # noqa: DTZ001 - UTC


def _write(records: list[Any], schema: Any) -> None:
    fastavro.writer(io.BytesIO(), schema, records, "deflate")


async def _silence(database: Database, runs: int) -> list[Figure]:
    """The times to the first byte and to the first row, and the longest time without a byte."""
    headers, firsts, longest = [], [], []
    for _ in range(runs):
        stream = backup.stream_table(database, EMPLOYEES, "deflate")
        times, starts = [time.perf_counter()], [b""]
        async for chunk in stream:
            times.append(time.perf_counter())
            starts.append(chunk[: len(MAGIC)])
        assert starts[: HEADER + 1] == [b"", b"", MAGIC], starts[: HEADER + 1]
        headers.append(times[HEADER] - times[0])
        firsts.append(times[FIRST_ROWS] - times[0])
        longest.append(max(after - before for before, after in pairwise(times)))
    return [
        single("backup, time to the first byte", headers, "s", "≤ 0.5"),
        single("backup, time to the first row", firsts, "s", "≤ 1"),
        single("backup, longest silence", longest, "s", "≤ 5"),
    ]


async def _lag(database: Database) -> Figure:
    """The delay of the event loop while a backup runs."""
    lags: list[float] = []
    running = asyncio.create_task(backup_of(database))
    while not running.done():
        started = time.perf_counter()
        await asyncio.sleep(0.001)
        lags.append((time.perf_counter() - started - 0.001) * 1000)
    return single("backup, event loop lag p99", [quantiles(lags, n=100)[98]], "ms", "≤ 50")


def _orm(settings: Settings, number: int) -> Figure:
    """`query.all()` into fastavro, with a tenth of the rows."""
    from tests.benchmarks.orm import back_up

    some = max(1000, number // 10)
    theirs = some / back_up(settings, some)
    return single("backup, an ORM's query.all()", [theirs], "rows/s", "ours ≥ 5 ×")


def _verify_beside_fastavro(content: bytes, number: int, runs: int) -> Figure:
    ours, alone = [], []
    for _ in range(runs):
        ours.append(number / seconds(lambda: _verify(io.BytesIO(content))))
        alone.append(number / seconds(lambda: _read(content)))
    return beside(
        "verify",
        ours,
        "rows/s",
        floor=alone,
        floor_name="fastavro reading",
        wanted="≥ 0.80",
    )


def _read(content: bytes) -> None:
    for _ in fastavro.reader(io.BytesIO(content)):
        pass


def _memory(settings: Settings, name: str) -> Figure:
    """The peak memory of a backup above idle, in a process of its own."""
    code = (
        "import asyncio; from tests.benchmarks.backups import peak; "
        f"asyncio.run(peak({engine.environment(settings)!r}))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return single(name, [float(run.stdout)], "MiB", "≤ 30")


async def peak(environment: dict[str, str]) -> None:
    """Print the peak memory of a backup above idle, in MiB."""
    async with connect(Settings.from_environment(environment)) as database:
        await database.ping()
        idle = processes.peak("self")
        async for _ in backup.stream_table(database, EMPLOYEES, "deflate"):
            pass
        print(processes.peak("self") - idle)
