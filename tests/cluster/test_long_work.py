"""Loads and restores on clusters: a node is killed midway; work exceeds the group's limit."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import IO

import msgspec
import pytest

from service.core.backups.format.avro import Writer
from service.core.backups.format.checksum import TableChecksum
from service.core.backups.restore import restore
from service.core.backups.staged import changes, choice, staging
from service.core.database.connect import connect
from service.core.database.migrations import migrate
from service.core.database.transactions import Database
from service.core.threads import in_thread
from tests.cluster.figures import FIGURES, Figures
from tests.cluster.loaded import STORED, stock
from tests.support import engine, program
from tests.support.backup_files import EMPLOYEES, ORIGIN, records, values
from tests.support.clusters import Cluster, Galera
from tests.support.csv_files import Folder, hire
from tests.support.history import Attempt, Batch, anomalies, counts
from tests.support.restores import POINTS, KillAt, Point, left, put
from tests.support.sizes import sized

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1800)]
LOADED = sized(short=100_000, full=400_000)
RESTORED, PAGE = sized(short=200_000, full=4_000_000), 10_000
FEW = 60_000


async def test_a_load_survives_the_loss_of_its_node(cluster: Cluster, tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.write(hired_employees=[hire(number) for number in range(1, LOADED + 1)])
    async with connect(cluster.settings) as database:
        await migrate(database)
    arguments = ("--data-dir", str(folder.path), "--rejects-dir", str(folder.rejects))
    variables = engine.environment(cluster.settings) | {"PYTHONWARNINGS": "default"}
    began = time.monotonic()
    loading = asyncio.create_task(program.run("loader", *arguments, **variables))
    killed = await _half_loaded(cluster)
    await cluster.kill(killed)
    ended = await loading
    seconds = time.monotonic() - began
    await cluster.heal()
    stored = await cluster.sql(await cluster.writer(), STORED, seconds=120)
    ids = range(1, LOADED + 1)
    reply = Attempt(201, msgspec.json.encode({"ids": list(ids)}), began, began + seconds)
    sent = Batch("load", [f"Ana {number}" for number in ids], [reply])
    found = anomalies([sent], stored)
    name = f"{cluster.NAME}: node killed during a load"
    outcome = f"exit code {ended.code} after {seconds:.0f} s"
    FIGURES.append(Figures(name, None, None, outcome, None, len(stored), counts(found)))
    assert ended.code == 0, ended.err
    assert not found, counts(found)


async def _half_loaded(cluster: Cluster) -> int:
    """The node in use, when half of the rows are there."""
    node = await cluster.writer()
    while True:
        ((rows,),) = await cluster.sql(node, "SELECT COUNT(*) FROM hirebase.hired_employees")
        if rows >= LOADED // 2:
            return await cluster.in_use()
        await asyncio.sleep(0.2)


@pytest.mark.short
async def test_a_restore_of_any_size_survives_the_loss_of_its_node(cluster: Cluster) -> None:
    """The group keeps its default limit, which one transaction would exceed."""
    killed, ended = await restored_although_killed(cluster, RESTORED, ("fill", 0.5))
    outcome = f"killed after {killed:.0f} s, verified after {ended:.0f} s"
    name = f"{cluster.NAME}: node killed during a restore of {RESTORED:,} rows"
    FIGURES.append(Figures(name, None, None, outcome, None, RESTORED, Counter()))


@pytest.mark.short
async def test_a_restore_adds_no_index_to_a_full_table(
    galera: Galera, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Meanwhile no node would commit anything. With millions of rows, the restore lost its lock."""
    monkeypatch.setattr(choice, "LARGE_ROWS", 1)
    await stock(galera.settings)
    added, run = list[str](), changes.change

    async def recorded(database: Database, name: str, statement: str, *seconds: float) -> None:
        if "ADD KEY" in statement:
            added.append(steps[-1])
        await run(database, name, statement, *seconds)

    monkeypatch.setattr(staging, "change", recorded)
    steps: list[str] = []
    async with connect(galera.settings) as database:
        await put(database, (EMPLOYEES, records(EMPLOYEES, 60)), steps=steps)
    assert added == ["create"]


@pytest.mark.parametrize("point", POINTS)
async def test_a_restore_survives_the_loss_of_its_node_at_twenty_points(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, point: Point
) -> None:
    monkeypatch.setattr(choice, "LARGE_ROWS", FEW)
    monkeypatch.setattr(choice, "CHUNK_ROWS", 1000)
    await restored_although_killed(cluster, FEW, point)


async def restored_although_killed(
    cluster: Cluster, rows: int, point: Point
) -> tuple[float, float]:
    """When the node of a restore was killed, and when the restore ended, in seconds."""
    await stock(cluster.settings)

    async def kill_node() -> None:
        await cluster.kill(await cluster.in_use())

    kill = KillAt(point, kill_node)
    with tempfile.TemporaryFile() as file:
        await in_thread(write_backup, file, rows)
        async with connect(cluster.settings) as database:
            shown = await engine.definitions_without_ids(database)
            began = time.monotonic()
            (done,) = await restore(database, [(EMPLOYEES, file)], "replace", kill)
            ended = time.monotonic()
            # The restore only has to remove some tables after its last report.
            killed = await kill.moment()
            assert killed < ended or point[0] == "finish"
            assert await engine.definitions_without_ids(database) == shown
            assert await left(database) == set()
    assert (done.restored, done.added, done.verified) == (rows, rows, True)
    return killed - began, ended - began


def write_backup(file: IO[bytes], count: int) -> None:
    """Write a backup with many hires, page by page."""
    writer, total = Writer(EMPLOYEES, "deflate", ORIGIN), TableChecksum(EMPLOYEES)
    file.write(writer.header)
    page = records(EMPLOYEES, PAGE)
    for first in range(0, count, PAGE):
        rows = [row | {"id": first + row["id"]} for row in page]
        file.write(writer.block(writer.encode(values(rows)), total(rows)))
    file.write(writer.end())
