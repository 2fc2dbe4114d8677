"""Loads and restores on clusters: a node is killed midway; work exceeds the group's limit."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from pathlib import Path

import msgspec
import pytest

from service.core.database.connect import connect
from service.core.database.migrations import migrate
from tests.cluster.figures import FIGURES, Figures
from tests.cluster.loaded import BUSY, STORED, stock
from tests.support import engine, program
from tests.support.backup_files import EMPLOYEES, avro_file, records
from tests.support.clusters import NODES, Cluster, GroupReplication
from tests.support.csv_files import Folder, hire
from tests.support.history import Attempt, Batch, anomalies, counts
from tests.support.load import Line, Reply, request, started
from tests.support.sizes import sized

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]
LOADED = sized(short=100_000, full=400_000)
RESTORED = sized(short=400_000, full=1_000_000)
AVRO = "application/octet-stream"
LIMIT = "SET GLOBAL group_replication_transaction_size_limit = {}"


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


async def test_a_restore_above_the_limit_is_refused(group_replication: GroupReplication) -> None:
    await stock(group_replication.settings)
    for n in NODES:
        await group_replication.sql(n, LIMIT.format(20_000_000))
    try:
        reply = await _restore(group_replication)
    finally:
        for n in NODES:
            await group_replication.sql(n, LIMIT.format("DEFAULT"))
    stored = await group_replication.sql(await group_replication.primary(), STORED)
    FIGURES.append(
        Figures(
            f"Group Replication: restore of {RESTORED:,} rows, limit of 20 MB",
            *(None, None, f"{reply.status}", reply.seconds, len(stored), Counter()),
        )
    )
    assert reply.status == 422, reply.body
    assert b"20000000" in reply.body.replace(b",", b""), reply.body
    assert reply.seconds <= 10 * BUSY
    assert stored == [(1, "Before")]


async def _restore(cluster: Cluster) -> Reply:
    """The reply to a large backup, on a table with one row."""
    insert = EMPLOYEES.sql["insert_with_id"]
    async with connect(cluster.settings) as database, database.transaction() as transaction:
        await transaction.insert(insert, [(1, "Before", "2021-07-27 16:02:08", 1, 1)])
    content = avro_file(EMPLOYEES, records(EMPLOYEES, RESTORED), page=5000)
    message = request("POST", "/avro/restore/employees", content, content_type=AVRO)
    service = await started(cluster.settings)
    line = Line(service.port)
    try:
        return await line.send(message)
    finally:
        line.close()
        await service.end()
