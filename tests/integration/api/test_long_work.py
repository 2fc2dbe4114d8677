"""Backups, restores, verifications and loads share some places; batches run beside them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import httpx
import msgspec
import pytest

from service.core.database.transactions import Database
from service.core.settings import Settings
from tests.conftest import calling
from tests.integration.traffic.test_request_log import figures
from tests.support.console import begin, events, page, run, start
from tests.support.hires import add_parents
from tests.support.waiting import until

Task = asyncio.Task[httpx.Response]


class Undone(Exception):
    """Ends a transaction."""


@pytest.fixture
async def small(migrated: Settings, database: Database) -> AsyncIterator[httpx.AsyncClient]:
    """An application with a pool of four, and rows to restore."""
    await add_parents(database, range(1, 3))
    async with calling(msgspec.structs.replace(migrated, mysql_pool_size=4)) as client:
        yield client


@asynccontextmanager
async def locked(database: Database) -> AsyncIterator[None]:
    """Lock the departments, so that restores wait."""
    with suppress(Undone):
        async with database.transaction(60) as transaction:
            await transaction.execute("UPDATE departments SET department = 'Locked'")
            yield
            raise Undone


@asynccontextmanager
async def restoring(client: httpx.AsyncClient, database: Database) -> AsyncIterator[list[Task]]:
    """Two restores that wait for a lock."""
    backup = (await client.get("/avro/backup/departments")).content
    await client.post("/departments", json={"department": "More"})
    async with database.transaction() as transaction:
        await transaction.execute("UPDATE departments SET department = 'Changed'")
    tasks: list[Task] = []
    async with locked(database):
        url = "/avro/restore/departments?mode=merge"
        tasks += [asyncio.create_task(client.post(url, content=backup)) for _ in range(2)]
        await until(lambda: _full(client), 10)
        yield tasks
    await asyncio.gather(*tasks, return_exceptions=True)


async def _full(client: httpx.AsyncClient) -> bool:
    """Whether two connections stay in use. Background tasks use one only for a moment."""
    for _ in range(5):
        metrics = await figures(client)
        if metrics["hirebase_pool_connections"] - metrics["hirebase_pool_free"] != 2:
            return False
        await asyncio.sleep(0.02)
    return True


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/avro/backup/jobs"),
        ("GET", "/avro/backup/all"),
        ("POST", "/avro/backup"),
        ("POST", "/avro/restore/jobs"),
        ("POST", "/avro/restore/all"),
        ("POST", "/avro/restore/all?dry_run=true"),
        ("POST", "/avro/verify"),
    ],
)
async def test_a_third_is_refused_while_two_run_and_batches_go_on(
    small: httpx.AsyncClient, database: Database, method: str, path: str
) -> None:
    async with restoring(small, database) as tasks:
        refused = await small.request(method, path)
        assert (refused.status_code, "Retry-After" in refused.headers) == (503, True)
        assert "backups, restores, verifications, loads or exports" in refused.json()["detail"]
        posted = await asyncio.gather(
            *(small.post("/jobs", json={"job": f"{n}"}) for n in range(8))
        )
        assert {reply.status_code for reply in posted} == {201}
    assert [task.result().status_code for task in tasks] == [200, 200]
    assert (await small.get("/avro/backup/jobs")).status_code == 200


async def test_a_console_job_waits_for_a_slot(small: httpx.AsyncClient, database: Database) -> None:
    async with restoring(small, database):
        jobs = [
            await start(small, "/console/backups?table=jobs"),
            await begin(small, "j.csv", b"1,Clerk\n"),
        ]

        async def all_wait() -> bool:
            texts = [await page(small, job) for job in jobs]
            return all("Waiting for other backups" in text for text in texts)

        await until(all_wait, 30)
    assert [(await events(small, job))[-1]["state"] for job in jobs] == ["done", "ready"]


async def test_errors_and_clients_that_leave_free_their_slots(
    small: httpx.AsyncClient, database: Database
) -> None:
    for _ in range(5):
        assert (await small.post("/avro/restore/jobs", content=b"x")).status_code == 422
        assert (await small.post("/avro/restore/all", content=b"x")).status_code == 422
    async with restoring(small, database) as tasks:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert (await small.post("/avro/backup?table=jobs")).status_code == 201
        await run(small, "/console/backups?table=jobs")
