"""Staged restores whose server is killed, and under load: all rows are accounted for."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import time
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from httpx import AsyncClient as Client

from service.core.backups.restore import restore
from service.core.backups.staged import choice
from service.core.backups.staged.guard import guarded
from service.core.database.connect import connect
from service.core.database.transactions import Database
from service.core.errors import UnavailableError
from service.core.writes.checkpoint import wait_for_database
from tests.support import engine, program
from tests.support.backup_files import EMPLOYEES, avro_file, records
from tests.support.hires import hire
from tests.support.load import PASSWORD, USER, report, started
from tests.support.restores import POINTS, KillAt, Point, left
from tests.support.servers import Server
from tests.support.sizes import sized
from tests.support.waiting import until

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1800)]
ROWS = sized(short=10_000, full=60_000)
RESTORED = sized(short=110_000, full=300_000)
CLIENTS, BATCH = 4, 10
MANY = sized(short=110_000, full=1_000_000)
KILLS = sized(short=1, full=5)
RANGE = 50_000
FILE_ID = 10_000_000
"""The ids of the file's rows are above those of posted rows."""


def backup(count: int, name: str) -> bytes:
    rows = [
        row | {"id": row["id"] + FILE_ID, "name": name, "department_id": 1, "job_id": 1}
        for row in records(EMPLOYEES, count)
    ]
    return avro_file(EMPLOYEES, rows, page=5000)


async def names(database: Database) -> dict[str, int]:
    """The number of rows by name."""
    statement = "SELECT name, COUNT(*) FROM hired_employees GROUP BY name"
    return {name: int(count) for name, count in await database.fetch(statement)}


@pytest.mark.parametrize("point", POINTS[:: sized(short=9, full=1)])
async def test_a_restore_continues_after_its_server_is_killed(
    server: Server, stocked: Database, monkeypatch: pytest.MonkeyPatch, point: Point
) -> None:
    monkeypatch.setattr(choice, "LARGE_ROWS", 1000)
    monkeypatch.setattr(choice, "CHUNK_ROWS", 1000)
    shown, kill = await engine.definitions_without_ids(stocked), KillAt(point, server.kill)
    content = io.BytesIO(backup(ROWS, "New"))
    async with connect(server.settings) as database:
        (done,) = await restore(database, [(EMPLOYEES, content)], "replace", progress=kill)
        ended = time.monotonic()
        # After its last reports, the restore may end before the server is killed.
        assert await kill.moment() < ended or point[0] in ("swap", "finish")
        assert (done.restored, done.added, done.verified) == (ROWS, ROWS, True)
        assert await names(database) == {"New": ROWS}
        assert await engine.definitions_without_ids(database) == shown
        assert await left(database) == set()
        assert await guarded(database) == set()


async def test_a_large_restore_is_killed_again_and_again(
    server: Server, stocked: Database, tmp_path: Path
) -> None:
    """The program and its server in turn. The last run finishes it; no lock is left."""
    await remove_hires(stocked)
    shown = await engine.definitions_without_ids(stocked)
    path, variables = tmp_path / "hires.avro", engine.environment(server.settings)
    await asyncio.to_thread(path.write_bytes, backup(MANY, "New"))
    for _ in range(KILLS):
        process = await program.start("service", "restore", str(path), **variables)
        await until_further(stocked, process)
        await server.kill()
        await until_there(stocked)
        await until_further(stocked, process)
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
        _, error = await process.communicate()
        assert b"Traceback" not in error
        await until_there(stocked)  # the program's group has the embedded server that it restarted
        assert await names(stocked) in ({}, {"New": MANY})
    ended = await program.run("service", "restore", str(path), **variables)
    assert (ended.code, "verified=True" in ended.out) == (0, True), ended.err
    assert await names(stocked) == {"New": MANY}
    assert await engine.definitions_without_ids(stocked) == shown
    assert await left(stocked) == set()
    assert await locked_rows(stocked) == MANY


async def until_further(database: Database, process: Process) -> None:
    """Wait until a restore has written more chunks, or has ended."""
    statement = "SELECT COUNT(*) FROM loads"
    before = await database.fetch(statement)

    async def is_further() -> bool:
        return process.returncode is not None or await database.fetch(statement) > before

    await until(is_further, 120)


async def until_there(database: Database) -> None:
    """Wait until the server runs again."""
    await wait_for_database(database, 60, UnavailableError("killed"))


async def locked_rows(database: Database) -> int:
    """Lock every hire, without waiting long for locks of others."""
    total, statement = 0, EMPLOYEES.sql["ids"] + " FOR UPDATE"
    page: list[Any] = [(0,)]
    while page:
        async with database.transaction(120) as transaction:
            page = await transaction.fetch(statement, (page[-1][0], RANGE))
        total += len(page)
    return total


class Load:
    """Clients that post and read hires, with the statuses of all replies."""

    def __init__(self) -> None:
        self.posts: list[int] = []
        self.reads: list[int] = []
        self._ended = asyncio.Event()

    @asynccontextmanager
    async def running(self, client: Client) -> AsyncIterator[None]:
        """Send requests until the end of this block."""
        async with asyncio.TaskGroup() as group:
            for _ in range(CLIENTS):
                group.create_task(self._post(client))
            group.create_task(self._read(client))
            try:
                yield
            finally:
                self._ended.set()

    async def _post(self, client: Client) -> None:
        while not self._ended.is_set():
            reply = await client.post("/employees", json=[hire(name="Posted")] * BATCH)
            self.posts.append(reply.status_code)
            if reply.status_code == 503:
                assert "A restore is replacing this table" in reply.text
                await asyncio.sleep(0.05)

    async def _read(self, client: Client) -> None:
        while not self._ended.is_set():
            self.reads.append((await client.get("/employees?limit=5")).status_code)


async def test_under_load_each_row_is_kept_or_counted_or_refused(
    server: Server, stocked: Database
) -> None:
    """The rows of each batch with 201 are removed by the restore and counted, or there after it."""
    await remove_hires(stocked)
    # Before the load: it keeps the event loop, and the service closes connections that are idle.
    content = io.BytesIO(backup(RESTORED, "New"))
    service, load = await started(server.settings), Load()
    async with service.client(USER, PASSWORD) as client, load.running(client):
        await asyncio.sleep(1)
        (done,) = await restore(stocked, [(EMPLOYEES, content)], "replace")
        await asyncio.sleep(1)
    await service.end()
    found, accepted = await names(stocked), load.posts.count(201)
    report("a restore under load", accepted=accepted, refused=load.posts.count(503))
    assert {*load.posts} == {201, 503}
    assert {*load.reads} == {200}
    assert found["New"] == RESTORED
    assert accepted * BATCH == done.removed + found["Posted"]
    assert done.removed > 0


async def remove_hires(database: Database) -> None:
    """Remove all hires, as other tests leave some."""
    async with database.transaction() as transaction:
        await transaction.execute("DELETE FROM hired_employees")
