"""Loads whose loader or database is killed with -9: the next run ends as if undisturbed."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from loader.reading.processes import ENDED
from service.core.database.connect import connect
from service.core.database.migrations import migrate
from service.core.errors import DatabaseError
from service.core.settings import Settings
from service.core.tables import TABLES
from tests.support import engine, program
from tests.support.csv_files import until_blocks_are_in
from tests.support.processes import have_ended, started_validators
from tests.support.servers import Embedded, Server
from tests.support.sizes import sized
from tests.support.waiting import until

ROUNDS = sized(short=1, full=10)
TIMEOUT = 300
CHAOS_ROWS = sized(short=60_000, full=200_000)
COLUMNS = {table.name: ", ".join(f"`{name}`" for name in table.columns) for table in TABLES} | {
    "rejects": "position, record, errors",
    "loads": "load_key",
}
"""The columns that a load writes, by table."""


def write_files(folder: Path, count: int, *, wrong: str = "") -> None:
    """Write hires, of which a few break a rule, and their parents.

    wrong: the job of every hire, if it is not empty.
    """
    folder.mkdir()
    (folder / "departments.csv").write_text(
        "".join(f"{at},Department {at}\n" for at in range(1, 9))
    )
    (folder / "jobs.csv").write_text("".join(f"{at},Job {at}\n" for at in range(1, 99)))
    chosen = random.Random(1)
    with (folder / "hired_employees.csv").open("w") as file:
        for at in range(1, count + 1):
            job = chosen.randint(1, 98) if at % 50 else chosen.choice(["", "99", '"'])
            key = at if at % 77 or wrong else at - chosen.randint(1, 76)
            job = wrong or job
            file.write(f"{key},Ana Ö. {at},2021-03-04T05:06:07Z,{at % 8 + 1},{job}\n")


def write_corrected(rejects: Path, folder: Path) -> None:
    """Write a corrected rejects file, in which every hundredth row is still wrong."""
    folder.mkdir()
    header, *lines = (rejects / "hired_employees.rejects.csv").read_text().splitlines()
    good = [line if at % 100 == 0 else f"{line[:-1]}1" for at, line in enumerate(lines)]
    (folder / "hired_employees.csv").write_text("\n".join([header, *good, ""]))


async def outcomes(settings: Settings) -> dict[tuple[str, str], int]:
    """How many rejects have each outcome, by the name of their file; a repeated one has none."""
    async with connect(settings) as database:
        rows = await database.fetch(
            "SELECT IF(state = 'dismissed', '', origin), state, COUNT(*) "
            "FROM rejects JOIN reject_outcomes ON reject_id = id GROUP BY 1, 2"
        )
    return {(origin, state): count for origin, state, count in rows}


@dataclass
class Result:
    """The results of a load."""

    summary: Any = None
    rejects: bytes = b""
    checksums: list[Any] = field(default_factory=list)


class Loader:
    """The loader as a process, on files and a database."""

    def __init__(self, settings: Settings, files: Path, rejects: Path, *options: str):
        self.settings = settings
        self._rejects = rejects
        self._arguments = (
            "loader",
            "--json",
            "--data-dir",
            str(files),
            "--rejects-dir",
            str(rejects),
            *options,
        )
        self._variables = engine.environment(settings)

    async def start(self) -> asyncio.subprocess.Process:
        return await program.start(*self._arguments, **self._variables)

    async def finish(self) -> Result:
        """Run to the end, and a second time if the database could not be reached."""
        ended = await program.run(*self._arguments, **self._variables)
        if ended.code == 1:
            ended = await program.run(*self._arguments, **self._variables)
        assert ended.code == 0, ended.err
        return await self.result(ended.out)

    async def result(self, out: str) -> Result:
        summary = json.loads(out)
        for file in summary:
            del file["seconds"], file["notes"]
        async with (
            connect(self.settings) as database,
            database.transaction(TIMEOUT) as transaction,
        ):
            checksums = [
                await transaction.fetch(
                    f"SELECT COUNT(*), BIT_XOR(CRC32(CONCAT_WS('|', {columns}))) FROM {name}"
                )
                for name, columns in COLUMNS.items()
            ]
        files = {path.name: path.read_bytes() for path in self._rejects.iterdir()}
        assert list(files) == ["hired_employees.rejects.csv"]
        return Result(summary, files["hired_employees.rejects.csv"], checksums)

    async def reset(self) -> None:
        """Empty the database and the folder of rejects."""
        for path in self._rejects.glob("*"):
            path.unlink()
        await engine.create_database(self.settings)
        async with connect(self.settings) as database:
            await migrate(database)


async def test_a_killed_loader_continues(scratch: Settings, tmp_path: Path) -> None:
    write_files(tmp_path / "files", 60_000)
    loader = Loader(scratch, tmp_path / "files", tmp_path / "rejects")
    await loader.reset()
    undisturbed = await loader.finish()
    await loader.reset()
    async with connect(scratch) as database:
        for blocks in (3, 5):
            process = await loader.start()
            await until_blocks_are_in(database, blocks)
            process.kill()
            await process.communicate()
            assert process.returncode == -signal.SIGKILL
    assert await loader.finish() == undisturbed


async def test_a_killed_load_of_a_corrected_file_continues(
    scratch: Settings, tmp_path: Path
) -> None:
    write_files(tmp_path / "files", 20_000, wrong="x")
    first = Loader(scratch, tmp_path / "files", tmp_path / "rejects")
    second = Loader(scratch, tmp_path / "corrected", tmp_path / "still_wrong")

    async def rejected() -> None:
        await second.reset()
        await first.reset()
        await first.finish()

    await rejected()
    write_corrected(tmp_path / "rejects", tmp_path / "corrected")
    undisturbed, closed = await second.finish(), await outcomes(scratch)
    assert closed == {("hired_employees.csv", "corrected"): 19_800, ("", "dismissed"): 200}
    await rejected()
    async with connect(scratch) as database:
        for blocks in (1, 3):
            process = await second.start()
            await until_blocks_are_in(database, blocks)
            process.kill()
            await process.communicate()
            assert process.returncode == -signal.SIGKILL
    assert await second.finish() == undisturbed
    assert await outcomes(scratch) == closed


@pytest.mark.timeout(TIMEOUT)
@pytest.mark.parametrize("victim", ["loader", "validator"])
async def test_a_loader_with_several_processes_continues(
    scratch: Settings, tmp_path: Path, victim: str
) -> None:
    # The other processes still have blocks to check when the test sees them.
    write_files(tmp_path / "files", 200_000)
    loader = Loader(scratch, tmp_path / "files", tmp_path / "rejects", "--workers", "4")
    await loader.reset()
    undisturbed = await loader.finish()
    await loader.reset()
    process = await loader.start()

    validators = await started_validators(process.pid, 30)
    os.kill(process.pid if victim == "loader" else validators[0], signal.SIGKILL)
    _, error = await process.communicate()
    expected = (1, f"loader: {ENDED}\n") if victim == "validator" else (-signal.SIGKILL, "")
    assert (process.returncode, error.decode()) == expected

    await until(lambda: have_ended(validators), 10)
    assert await loader.finish() == undisturbed


async def test_a_load_continues_after_the_embedded_database_is_killed(tmp_path: Path) -> None:
    write_files(tmp_path / "files", 60_000)
    server = Embedded(tmp_path)
    loader = Loader(server.settings, tmp_path / "files", tmp_path / "rejects")
    await loader.reset()
    process = await loader.start()
    with suppress(DatabaseError):
        async with connect(server.settings) as database:
            await until_blocks_are_in(database, 4)
            await server.kill()
    await process.communicate()
    assert process.returncode == 1
    done, again = await loader.finish(), await loader.finish()
    hires = done.summary[-1]
    assert hires["added"] + hires["unchanged"] + hires["rejected"] == hires["read"] == 60_000
    assert again.summary[-1]["unchanged"] == hires["added"] + hires["unchanged"]
    assert (again.checksums, again.rejects) == (done.checksums, done.rejects)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("killed") / "files"
    write_files(folder, CHAOS_ROWS)
    return folder


@pytest.mark.chaos
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("victim", ["loader", "database"])
async def test_killed_at_any_point(
    server: Server, files: Path, tmp_path: Path, victim: str
) -> None:
    loader = Loader(server.settings, files, tmp_path / "rejects")
    await loader.reset()
    started = time.monotonic()
    undisturbed = await loader.finish()
    seconds = time.monotonic() - started
    points = random.Random(victim)
    for _ in range(ROUNDS):
        await loader.reset()
        process = await loader.start()
        communication = asyncio.create_task(process.communicate())
        await asyncio.sleep(points.uniform(0.1, 1) * seconds)
        if victim == "loader":
            with suppress(ProcessLookupError):
                process.kill()
        else:
            await server.kill()
        out, _ = await communication
        if process.returncode == 0:
            assert await loader.result(out.decode()) == undisturbed
        else:
            assert await loader.finish() == undisturbed
