"""Backup, verify and restore beside mysqldump, fastavro alone, bare `executemany` and an ORM.

BENCH_HIRES sets the number of rows.
"""

from __future__ import annotations

import asyncio
import io
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from statistics import quantiles
from typing import Any

import aiomysql
import fastavro

from service.core.backups import backup
from service.core.backups.format import avro_schema
from service.core.backups.restore import restore
from service.core.backups.verify import _verify
from service.core.database.connect import connect
from service.core.database.migrations import migrate
from service.core.database.transactions import Database
from service.core.settings import Settings
from service.core.tables import TABLES, by_path
from service.core.threads import in_thread
from tests.benchmarks import dump, exports, server
from tests.benchmarks.figures import Figure, beside, single
from tests.support import engine, processes

HIRES, RUNS = int(os.environ.get("BENCH_HIRES", "1000000")), 3
MORE = 5
"""This many times the rows, to check that memory does not grow."""
STEP = 10_000
EMPLOYEES = by_path("employees")
INSERT = (
    "INSERT INTO hired_employees (id, name, `datetime`, department_id, job_id) "
    "VALUES (%s, %s, %s, %s, %s)"
)
Row = tuple[int, str, str, int, int]
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


async def figures(url: str, *, short: bool = False) -> list[Figure]:
    """All figures of this module, on the server at `url`."""
    hires, runs = (20_000, 1) if short else (HIRES, RUNS)
    settings = engine.settings(url, "bench_backups")
    await engine.create_database(settings)
    async with connect(settings) as database:
        await migrate(database)
        await _fill(database, hires)
        content = await _backup_bytes(database)
        return [
            *await _beside_mysqldump(settings, database, hires, runs),
            *await _beside_fastavro(database, content, hires, runs),
            await exports.as_csv(database, rows(1, hires), runs),
            *await _silence(database, runs),
            await _lag(database),
            _orm(settings, database, hires),
            await _verify_beside_fastavro(content, hires, runs),
            *await _restore(database, content, hires, runs),
            *await _memory(settings, database, hires, short=short),
        ]


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


async def _fill(database: Database, hires: int, first: int = 1) -> None:
    async with database.transaction(600) as transaction:
        if first == 1:
            for table, count in zip(TABLES, (12, 183), strict=False):
                named = [(n, f"{table.name} {n}") for n in range(1, count + 1)]
                await transaction.insert(table.sql["insert_with_id"], named)
    for start in range(first, first + hires, STEP):
        async with database.transaction(600) as transaction:
            await transaction.insert(INSERT, rows(start, min(STEP, first + hires - start)))


async def _backup_bytes(database: Database) -> bytes:
    return b"".join([piece async for piece in backup.stream_table(database, EMPLOYEES, "deflate")])


async def _timed(work: Callable[[], Awaitable[Any]]) -> float:
    started = time.perf_counter()
    await work()
    return time.perf_counter() - started


async def _beside_mysqldump(
    settings: Settings, database: Database, hires: int, runs: int
) -> list[Figure]:
    """A backup into a file, beside mysqldump and gzip into a file of the same folder."""
    container = server.container_of(settings.mysql_port)
    if container is None:
        return []
    ours, theirs = [], []
    with tempfile.TemporaryDirectory() as folder:
        avro, gzip = Path(folder) / "hires.avro", Path(folder) / "hires.sql.gz"
        for _ in range(runs):
            ours.append(hires / await _timed(lambda: _save(database, avro)))
            theirs.append(
                hires / _seconds(lambda: dump.dump(container, settings, EMPLOYEES.name, gzip))
            )
        sizes = [path.stat().st_size / 2**20 for path in (avro, gzip)]
    return [
        beside(
            "backup into a file, Avro/deflate",
            ours,
            "rows/s",
            floor=theirs,
            floor_name="mysqldump --single-transaction | gzip",
            wanted="≥ 1.0, aim 1.3",
        ),
        beside("its size", sizes[:1], "MiB", floor=sizes[1:], floor_name="mysqldump | gzip"),
    ]


async def _save(database: Database, path: Path) -> None:
    with path.open("wb") as file:
        async for piece in backup.stream_table(database, EMPLOYEES, "deflate"):
            await in_thread(file.write, piece)


async def _beside_fastavro(
    database: Database, content: bytes, hires: int, runs: int
) -> list[Figure]:
    """A backup, beside fastavro writing the same rows from memory."""
    records: list[Any] = [*fastavro.reader(io.BytesIO(content))]
    plain = [{**record, "datetime": _micros(record["datetime"])} for record in records]
    ours, datetimes, numbers = [], [], []
    for _ in range(runs):
        ours.append(hires / await _timed(lambda: _backup_bytes(database)))
        datetimes.append(hires / _seconds(lambda: _write(records, SCHEMA)))
        numbers.append(hires / _seconds(lambda: _write(plain, PLAIN)))
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


def _seconds(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


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
    running = asyncio.create_task(_backup_bytes(database))
    while not running.done():
        started = time.perf_counter()
        await asyncio.sleep(0.001)
        lags.append((time.perf_counter() - started - 0.001) * 1000)
    return single("backup, event loop lag p99", [quantiles(lags, n=100)[98]], "ms", "≤ 50")


def _orm(settings: Settings, database: Database, hires: int) -> Figure:
    """`query.all()` into fastavro, with a tenth of the rows."""
    from tests.benchmarks.orm import back_up

    some = max(1000, hires // 10)
    theirs = some / _seconds(lambda: back_up(settings, some))
    return single("backup, an ORM's query.all()", [theirs], "rows/s", "ours ≥ 5 ×")


async def _verify_beside_fastavro(content: bytes, hires: int, runs: int) -> Figure:
    ours, alone = [], []
    for _ in range(runs):
        ours.append(hires / _seconds(lambda: _verify(io.BytesIO(content))))
        alone.append(hires / _seconds(lambda: _read(content)))
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


async def _restore(database: Database, content: bytes, hires: int, runs: int) -> list[Figure]:
    """A restore into an empty table, beside aiomysql's executemany in one transaction."""
    values = rows(1, hires)
    ours, bare, repeated = [], [], []
    for _ in range(runs):
        await _empty(database)
        bare.append(hires / await _timed(lambda: _executemany(database, values)))
        await _empty(database)
        ours.append(hires / await _timed(lambda: _put_back(database, content)))
        repeated.append(hires / await _timed(lambda: _put_back(database, content)))
    return [
        beside(
            "restore into an empty table",
            ours,
            "rows/s",
            floor=bare,
            floor_name="bare executemany, one transaction",
            wanted="≥ 0.90",
        ),
        single("restore over the same rows", repeated, "rows/s"),
    ]


async def _empty(database: Database) -> None:
    async with database.transaction(600) as transaction:
        await transaction.execute("SET FOREIGN_KEY_CHECKS = 0")
        await transaction.execute("TRUNCATE TABLE hired_employees")
        await transaction.execute("SET FOREIGN_KEY_CHECKS = 1")


async def _executemany(database: Database, values: list[Row]) -> None:
    async with database.pool.acquire() as connection:
        await connection.begin()
        async with connection.cursor(aiomysql.Cursor) as cursor:
            for start in range(0, len(values), STEP):
                await cursor.executemany(INSERT, values[start : start + STEP])
        await connection.commit()


async def _put_back(database: Database, content: bytes) -> None:
    (done,) = await restore(database, [(EMPLOYEES, io.BytesIO(content))], "replace")
    assert done.verified


async def _memory(
    settings: Settings, database: Database, hires: int, *, short: bool
) -> list[Figure]:
    """The peak memory of a backup above idle, with these rows and with MORE times as many."""
    once = _peak(settings)
    for part in range(1, 2 if short else MORE):
        await _fill(database, hires, first=part * hires + 1)
    return [
        single("backup, memory above idle", [once], "MiB", "≤ 30"),
        single("backup, memory above idle, 5 × the rows", [_peak(settings)], "MiB", "≤ 30"),
    ]


def _peak(settings: Settings) -> float:
    code = (
        "import asyncio; from tests.benchmarks.backups import peak; "
        f"asyncio.run(peak({engine.environment(settings)!r}))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(run.stdout)


async def peak(environment: dict[str, str]) -> None:
    """Print the peak memory of a backup above idle, in MiB."""
    async with connect(Settings.from_environment(environment)) as database:
        await database.ping()
        idle = processes.peak("self")
        async for _ in backup.stream_table(database, EMPLOYEES, "deflate"):
            pass
        print(processes.peak("self") - idle)
