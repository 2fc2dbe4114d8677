"""The loader beside the server's bulk loader, beside itself with bad rows, and beside pandas."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from service.core.database.connect import connect
from service.core.database.migrations import migrate
from service.core.database.transactions import Database
from service.core.settings import Settings
from tests.benchmarks import server, shapes
from tests.benchmarks.batches import empty
from tests.benchmarks.figures import Figure, beside, seconds_of, single
from tests.benchmarks.shapes import SHAPES
from tests.support import engine

HIRES, BAD, PANDAS, MANY = 1_000_000, 200_000, 20_000, 10_000_000
RUNS = 5
CLIENT = f"hirebase-bench-client-{os.getpid()}"
BULK_LOAD = """
    LOAD DATA LOCAL INFILE '/data/{file}' INTO TABLE hired_employees
    FIELDS TERMINATED BY ',' OPTIONALLY ENCLOSED BY '"'
    (id, name, @moment, department_id, job_id) SET datetime = TRIM(TRAILING 'Z' FROM @moment)
"""


async def figures(url: str, *, short: bool = False) -> AsyncGenerator[Figure]:
    """All figures of this module, on the server at `url`."""
    settings = engine.settings(url, "bench_loader")
    await engine.create_database(settings)
    part = 20 if short else 1
    with tempfile.TemporaryDirectory() as folder:
        async with connect(settings) as database:
            await _prepare(database)
            bench = Bench(settings, database, Path(folder))
            async for figure in bench.beside_load_data(HIRES // part, 2 if short else RUNS):
                yield figure
            yield await bench.bad_rows(BAD // part, 1 if short else 3)
            yield await bench.memory(MANY // part)
            async for figure in bench.pandas(PANDAS // part):
                yield figure


async def _prepare(database: Database) -> None:
    await migrate(database)
    async with database.transaction() as transaction:
        await transaction.execute("SET GLOBAL local_infile = ON")
        for name, column, count in (("departments", "department", 12), ("jobs", "job", 183)):
            await transaction.insert(
                f"INSERT INTO {name} (id, {column}) VALUES (%s, %s)",
                [(at, f"{column} {at}") for at in range(1, count + 1)],
            )


class Run(NamedTuple):
    """One load: its time, the CPU time of client and server in µs, the client's peak in MiB."""

    seconds: float
    client: float
    server: float
    peak: float


class Bench:
    """Loads files, each into an empty table."""

    def __init__(self, settings: Settings, database: Database, folder: Path):
        self._settings = settings
        self._database = database
        self._folder = folder

    async def beside_load_data(self, count: int, runs: int) -> AsyncGenerator[Figure]:
        """Rows per second of LOAD DATA and of the loader for each shape of file."""
        with _client(self._folder):
            for shape, part in SHAPES.items():
                for figure in await self._pairs(shape, int(count * part), runs):
                    yield figure

    async def _pairs(self, shape: str, count: int, runs: int) -> list[Figure]:
        """Runs of both, alternately; and the CPU time of one row in the loader and the server."""
        file = shapes.write(self._folder / "hires.csv", shape, count)
        good = shapes.good_rows(shape, count)
        theirs, ours = [], []
        for _ in range(runs):
            await self._empty()
            theirs.append(await asyncio.to_thread(self._load_data, file))
            if good == count:  # else LOAD DATA decides by itself which rows it changes and keeps
                await self._expect(count)
            await self._empty()
            ours.append(await asyncio.to_thread(self._run_loader, file))
            await self._expect(good)
        file.unlink()
        name = f"loader, {shape}"
        return [
            beside(
                f"{name}, {count:,} hires",
                [count / run.seconds for run in ours],
                "rows/s",
                floor=[count / run.seconds for run in theirs],
                floor_name="LOAD DATA LOCAL INFILE",
                wanted="≥ 1.0",
            ),
            single(f"{name}, CPU of the loader", [run.client / count for run in ours], "µs/row"),
            beside(
                f"{name}, CPU of the server",
                [run.server / count for run in ours],
                "µs/row",
                floor=[run.server / count for run in theirs],
                floor_name="LOAD DATA LOCAL INFILE",
            ),
            single(f"{name}, peak memory", [run.peak for run in ours], "MiB", "≤ 120"),
        ]

    async def bad_rows(self, count: int, runs: int) -> Figure:
        """Rows per second if each row breaks a rule, beside the rate if none does."""
        good = shapes.write(self._folder / "good.csv", "random", count)
        bad = shapes.write(self._folder / "bad.csv", "only bad rows", count)
        rates: dict[Path, list[float]] = {good: [], bad: []}
        for _ in range(runs):
            for file, rate in rates.items():
                await self._empty()
                run = await asyncio.to_thread(self._run_loader, file)
                rate.append(count / run.seconds)
        return beside(
            f"loader, {count:,} bad rows",
            rates[bad],
            "rows/s",
            floor=rates[good],
            floor_name="good rows",
            wanted="≥ 0.7",
        )

    async def memory(self, count: int) -> Figure:
        """The peak memory of a long load."""
        await self._empty()
        file = shapes.write(self._folder / "many.csv", "random", count)
        run = await asyncio.to_thread(self._run_loader, file)
        await self._expect(count)
        file.unlink()
        return single(f"loader, peak memory, {count:,} hires", [run.peak], "MiB", "≤ 120")

    async def pandas(self, count: int) -> AsyncGenerator[Figure]:
        """Rows per second of `DataFrame.to_sql`, as a user would write it."""
        file = shapes.write(self._folder / "few.csv", "random", count)
        kinds: dict[str, dict[str, Any]] = {
            "default": {},
            "multi": {"method": "multi", "chunksize": 1000},
        }
        for name, options in kinds.items():
            await self._empty()
            rate = count / await seconds_of(asyncio.to_thread(self._to_sql, file, options))
            yield single(f"pandas.to_sql, {name}", [rate], "rows/s")

    async def _empty(self) -> None:
        await asyncio.to_thread(empty, self._settings)

    async def _expect(self, count: int) -> None:
        found = await self._database.fetch("SELECT COUNT(*) FROM hired_employees")
        assert found == [(count,)], found

    def _run_loader(self, file: Path) -> Run:
        # Compiled modules, as an installation and the image have them.
        compiled = {"PYTHONDONTWRITEBYTECODE": ""}
        environment = os.environ | engine.environment(self._settings) | compiled
        rejects = str(self._folder / "rejects")
        options = ["--json", "--table", "hired_employees", "--rejects-dir", rejects]
        command = [sys.executable, "-m", "loader", str(file), *options]
        started, before = time.perf_counter(), self._server_cpu()
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0
        seconds, server_cpu = time.perf_counter() - started, self._server_cpu() - before
        client_cpu = usage.ru_utime + usage.ru_stime
        return Run(seconds, client_cpu * 1e6, server_cpu * 1e6, usage.ru_maxrss / 1024)

    def _load_data(self, file: Path) -> Run:
        settings = self._settings
        password = f"MYSQL_PWD={settings.mysql_password}"
        client = f"mysql -h127.0.0.1 -P{settings.mysql_port} -u{settings.mysql_user}".split()
        options = ["--local-infile=1", "--ssl-mode=DISABLED", "--get-server-public-key"]
        statement = ["-e", BULK_LOAD.format(file=file.name), settings.mysql_database]
        command = ["docker", "exec", "-e", password, CLIENT, *client, *options, *statement]
        started, before = time.perf_counter(), self._server_cpu()
        subprocess.run(command, check=True)
        return Run(time.perf_counter() - started, 0, (self._server_cpu() - before) * 1e6, 0)

    def _server_cpu(self) -> float:
        return server.database_cpu(self._settings)

    def _to_sql(self, file: Path, options: dict[str, Any]) -> None:
        import pandas

        from tests.benchmarks.orm import engine_of

        columns = ["id", "name", "datetime", "department_id", "job_id"]
        frame = pandas.read_csv(file, names=columns, parse_dates=["datetime"])
        frame["datetime"] = frame["datetime"].dt.tz_localize(None)
        database = engine_of(self._settings)
        frame.to_sql("hired_employees", database, if_exists="append", index=False, **options)
        database.dispose()


@contextmanager
def _client(folder: Path) -> Iterator[None]:
    """Run a container with MySQL's client. It sees the files and the server's port."""
    options = ["--network", "host", "-v", f"{folder}:/data:ro", "--entrypoint", "sleep"]
    subprocess.run(
        ["docker", "run", "-d", "--rm", "--name", CLIENT, *options, engine.IMAGE, "infinity"],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        subprocess.run(["docker", "kill", CLIENT], check=True, stdout=subprocess.DEVNULL)
