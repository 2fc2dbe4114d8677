"""The commands backup, verify and restore, run as processes."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path
from random import Random

import pytest

from service.core.database.connect import connect
from service.core.database.migrations import migrate
from service.core.database.transactions import Database
from service.core.rules.avro_records import validate
from service.core.settings import Settings
from tests.acceptance.conftest import PROGRESS
from tests.support import engine
from tests.support.backup_files import DEPARTMENTS, EMPLOYEES, JOBS, avro_file, records, zip_file
from tests.support.program import run, start
from tests.support.servers import Server
from tests.support.sizes import sized
from tests.support.tcp_proxy import Proxy
from tests.support.waiting import until

HIRES = 4000
POINTS = sized(short=3, full=20)
OLD = [{**row, "name": f"Old {row['id']}"} for row in records(EMPLOYEES, HIRES)]
NEW = [{**row, "name": f"New {row['id']}"} for row in records(EMPLOYEES, HIRES)]


async def fill(database: Database) -> None:
    async with database.transaction() as transaction:
        for table, rows in (
            (DEPARTMENTS, records(DEPARTMENTS, 3)),
            (JOBS, records(JOBS, 5)),
            (EMPLOYEES, OLD),
        ):
            await transaction.insert(table.sql["insert_with_id"], validate(table, rows).rows)


@pytest.fixture
async def variables(database: Database, migrated: Settings, tmp_path: Path) -> dict[str, str]:
    await fill(database)
    return engine.environment(migrated) | {"BACKUP_DIR": str(tmp_path / "backups")}


async def test_back_up_verify_restore(
    variables: dict[str, str], database: Database, tmp_path: Path
) -> None:
    folder = Path(variables["BACKUP_DIR"])
    for _ in range(3):
        ended = await run("service", "backup", "--keep", "2", **variables)
        assert ended.code == 0, ended.err
        assert all(map(PROGRESS.fullmatch, ended.err.splitlines())), ended.err
    one = await run("service", "backup", "--table", "jobs", "--codec", "snappy", **variables)
    assert (one.code, "5 rows" in one.out) == (0, True)
    names, modes = listed(folder)
    assert [name.partition("-")[0] for name in names] == ["hirebase", "hirebase", "jobs"]
    assert modes == {0o600}
    ended = await run("service", "verify", str(folder / names[0]), **variables)
    assert (ended.code, f"employees: {HIRES} rows" in ended.out) == (0, True)
    await database.fetch("DELETE FROM hired_employees WHERE id > 10")
    ended = await run("service", "restore", str(folder / names[1]), **variables)
    assert (ended.code, f"added={HIRES - 10}" in ended.out) == (0, True)
    assert await database.fetch("SELECT COUNT(*) FROM hired_employees") == [(HIRES,)]


async def test_a_damaged_file_ends_in_one_line_and_1(
    variables: dict[str, str], database: Database, tmp_path: Path
) -> None:
    content = bytearray(avro_file(EMPLOYEES, NEW))
    content[-40] ^= 1
    path = tmp_path / "damaged.avro"
    path.write_bytes(content)
    for command in ("verify", "restore"):
        ended = await run("service", command, str(path), **variables)
        assert (ended.code, ended.err.count("\n")) == (1, 1)
        assert "cut short or damaged" in ended.err
        assert "Use another backup" in ended.err
    assert await names_of(database) == {"Old"}


async def test_what_cannot_be_read_or_written_ends_in_one_line_and_1(
    variables: dict[str, str],
) -> None:
    variables["BACKUP_DIR"] = "/proc/backups"
    for arguments, message in (
        (["backup"], "BACKUP_DIR) cannot be used: No such file or directory."),
        (["restore", "/proc/self/mem"], "cannot be read or written: Input/output error."),
        (["verify", "/proc/self/mem"], "cannot be read or written: Input/output error."),
    ):
        ended = await run("service", *arguments, **variables)
        assert (ended.code, ended.err.count("\n")) == (1, 1)
        assert message in ended.err


async def test_a_killed_backup_leaves_no_listed_file(
    variables: dict[str, str],
) -> None:
    folder = Path(variables["BACKUP_DIR"])
    for wait in (0.3, 0.6, 0.9):
        process = await start("service", "backup", **variables)
        await asyncio.sleep(wait)
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
        await process.communicate()
    ended = await run("service", "backup", **variables)
    assert ended.code == 0
    for name in listed(folder)[0]:
        if not name.startswith("."):
            assert (await run("service", "verify", str(folder / name), **variables)).code == 0


async def test_sigterm_stops_a_backup_that_removes_its_file(
    variables: dict[str, str], migrated: Settings, proxy: Proxy
) -> None:
    """Without a handler, the first process of a container would not even get the signal."""
    folder = Path(variables["BACKUP_DIR"])
    proxy.stall_at(b"SEPARATOR", heard=False)
    through = engine.environment(engine.through(proxy, migrated)) | {"BACKUP_DIR": str(folder)}
    process = await start("service", "backup", **through)

    async def is_under_way() -> bool:
        return bool(proxy.stalled)

    await until(is_under_way, 60)
    assert [name[:9] for name in listed(folder)[0]] == [".partial-"]
    process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(20):
        _, error = await process.communicate()
    assert (process.returncode, error) == (1, b"hirebase: stopped.\n")
    assert listed(folder)[0] == []


def listed(folder: Path) -> tuple[list[str], set[int]]:
    """(the names in a folder, the modes)."""
    paths = sorted(folder.iterdir())
    return [path.name for path in paths], {path.stat().st_mode & 0o777 for path in paths}


async def names_of(database: Database) -> set[str]:
    rows = await database.fetch("SELECT DISTINCT SUBSTRING(name, 1, 3) FROM hired_employees")
    assert await database.fetch("SELECT COUNT(*) FROM hired_employees") == [(HIRES,)]
    return {name for (name,) in rows}


def archives(folder: Path) -> dict[str, Path]:
    """An archive of old rows and one of new ones, in many blocks."""
    paths = {"Old": folder / "old.zip", "New": folder / "new.zip"}
    for name, rows in (("Old", OLD), ("New", NEW)):
        content = {
            DEPARTMENTS: avro_file(DEPARTMENTS, records(DEPARTMENTS, 3)),
            JOBS: avro_file(JOBS, records(JOBS, 5)),
            EMPLOYEES: avro_file(EMPLOYEES, rows, page=200),
        }
        paths[name].write_bytes(zip_file(content))
    return paths


async def kill_restores(
    variables: dict[str, str], database: Database, tmp_path: Path, points: int
) -> None:
    """kill -9 at moments spread over a restore: the rows are all old or all new."""
    paths, now = archives(tmp_path), "Old"
    started = time.perf_counter()
    ended = await run("service", "restore", str(paths[now]), **variables)
    took = time.perf_counter() - started
    assert ended.code == 0
    random = Random(5)
    for point in range(points):
        wanted = "New" if now == "Old" else "Old"
        process = await start("service", "restore", str(paths[wanted]), **variables)
        await asyncio.sleep(took * (0.4 + 0.7 * (point + random.random()) / points))
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
        await process.communicate()
        (now,) = await names_of(database)
    assert (await run("service", "restore", str(paths["New"]), **variables)).code == 0
    assert await names_of(database) == {"New"}


async def test_a_restore_that_is_killed_is_whole_or_nothing(
    variables: dict[str, str], database: Database, tmp_path: Path
) -> None:
    await kill_restores(variables, database, tmp_path, 3)


@pytest.mark.chaos
async def test_a_restore_that_is_killed_at_twenty_points(
    variables: dict[str, str], database: Database, tmp_path: Path
) -> None:
    await kill_restores(variables, database, tmp_path, POINTS)


async def kill_databases(server: Server, folder: Path, points: int) -> None:
    """kill -9 of the database in the middle of a restore, then a look at its rows."""
    settings = server.settings
    paths, variables = archives(folder), engine.environment(settings)
    await engine.create_database(settings)
    async with connect(settings) as database:
        await migrate(database)
        await fill(database)
        started = time.perf_counter()
        assert (await run("service", "restore", str(paths["Old"]), **variables)).code == 0
        took = time.perf_counter() - started
    now = "Old"
    for point in range(points):
        wanted = "New" if now == "Old" else "Old"
        process = await start("service", "restore", str(paths[wanted]), **variables)
        await asyncio.sleep(took * (0.5 + 0.6 * point / points))
        await server.kill()
        await process.communicate()
        async with connect(settings) as database:
            (now,) = await names_of(database)


async def test_a_restore_whose_database_is_killed(server: Server, tmp_path: Path) -> None:
    await kill_databases(server, tmp_path, 1)


@pytest.mark.chaos
@pytest.mark.timeout(900)
async def test_a_restore_whose_database_is_killed_at_twenty_points(
    server: Server, tmp_path: Path
) -> None:
    await kill_databases(server, tmp_path, POINTS)
