"""Staged restores whose server is killed, and under load: all rows are accounted for."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from httpx import AsyncClient as Client

from service.core.backups.restore import restore
from service.core.backups.staged import choice
from service.core.backups.staged.guard import guarded
from service.core.database.connect import connect
from service.core.database.transactions import Database
from service.core.progress import Step
from tests.support import engine
from tests.support.backup_files import EMPLOYEES, avro_file, records
from tests.support.hires import hire
from tests.support.load import PASSWORD, USER, report, started
from tests.support.restores import left
from tests.support.servers import Server
from tests.support.sizes import sized

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1800)]
ROWS = sized(short=10_000, full=60_000)
RESTORED = sized(short=110_000, full=300_000)
CLIENTS, BATCH = 4, 10
KILLED_AT = ["create", "guard", "fill", "index employees", "references", "verify employees"]
KILLED_AT += ["compare employees", "swap", "finish"]
STEPS = KILLED_AT[:: sized(short=3, full=1)]
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


@pytest.mark.parametrize("step", STEPS)
async def test_a_restore_continues_after_its_server_is_killed(
    server: Server, stocked: Database, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    monkeypatch.setattr(choice, "LARGE_ROWS", 1000)
    monkeypatch.setattr(choice, "CHUNK_ROWS", 1000)
    shown, killing = await engine.definitions_without_ids(stocked), list[asyncio.Task[float]]()

    async def killed() -> float:
        await server.kill()
        return time.monotonic()

    def kill(reported: Step) -> None:
        if reported.name == step and not killing and reported.rows * 2 >= reported.total:
            killing.append(asyncio.create_task(killed()))

    content = io.BytesIO(backup(ROWS, "New"))
    async with connect(server.settings) as database:
        (done,) = await restore(database, [(EMPLOYEES, content)], "replace", progress=kill)
        ended = time.monotonic()
        (killed_at,) = await asyncio.gather(*killing)
        # The restore only has to remove some tables after its last report.
        assert killed_at < ended or step == "finish"
        assert (done.restored, done.added, done.verified) == (ROWS, ROWS, True)
        assert await names(database) == {"New": ROWS}
        assert await engine.definitions_without_ids(database) == shown
        assert await left(database) == set()
        assert await guarded(database) == set()


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
