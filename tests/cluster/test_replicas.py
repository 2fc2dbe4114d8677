"""Two services on two nodes of Galera, which both take writes: any of them answers any request."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import msgspec
import pytest

from service.core.database.connect import connect
from service.core.database.migrations import migrate
from service.core.database.servers.probe import SILENT_SECONDS
from service.core.database.transactions import Database
from service.core.settings import Settings
from tests.support.clusters import Galera
from tests.support.console import begin, events, start
from tests.support.hires import count
from tests.support.load import PASSWORD, USER, started
from tests.support.program import Service
from tests.support.waiting import until

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]
Pair = tuple[httpx.AsyncClient, httpx.AsyncClient]
KEYS = 40
ROWS = 60_000


def first_choice(galera: Galera, *nodes: int) -> Settings:
    """Settings of a service that uses these nodes, the first one first."""
    hosts = ",".join(galera.address(n) for n in nodes)
    return msgspec.structs.replace(galera.settings, mysql_host=hosts)


@pytest.fixture
async def services(galera: Galera, tmp_path: Path) -> AsyncIterator[tuple[Service, Service]]:
    """Two services with the same folders, which start at the same time on an empty database."""
    folders = {"rejects_dir": tmp_path / "rejects", "backup_dir": tmp_path / "backups"}
    settings = [
        msgspec.structs.replace(first_choice(galera, *nodes), **folders)
        for nodes in ((1, 2, 3), (2, 3, 1))
    ]
    starts = [asyncio.create_task(started(one, PYTHONWARNINGS="default")) for one in settings]
    await asyncio.wait(starts)
    try:
        yield starts[0].result(), starts[1].result()
    finally:
        await asyncio.gather(*(it.result().end() for it in starts if not it.exception()))


@pytest.fixture
async def replicas(services: tuple[Service, Service]) -> AsyncIterator[Pair]:
    async with AsyncExitStack() as stack:
        one, two = [
            await stack.enter_async_context(service.client(USER, PASSWORD)) for service in services
        ]
        yield one, two


@pytest.fixture
async def database(galera: Galera) -> AsyncIterator[Database]:
    async with connect(first_choice(galera, 3)) as database:
        yield database


async def test_one_key_through_two_replicas_at_once_writes_once(
    replicas: Pair, database: Database
) -> None:
    bodies = [[{"job": f"Clerk {key}-{at}"} for at in range(5)] for key in range(KEYS)]

    async def post(client: httpx.AsyncClient, key: int) -> httpx.Response:
        headers = {"Idempotency-Key": f"key {key}"}
        while True:
            reply = await client.post("/jobs", json=bodies[key], headers=headers)
            if reply.status_code not in (409, 503):
                return reply

    for key in range(KEYS):
        replies = await asyncio.gather(*(post(client, key) for client in replicas * 2))
        assert {(reply.status_code, reply.text) for reply in replies} == {(201, replies[0].text)}
    stored = await database.fetch("SELECT job FROM jobs")
    assert sorted(job for (job,) in stored) == sorted(row["job"] for body in bodies for row in body)


async def test_one_replica_sees_what_the_other_wrote(replicas: Pair) -> None:
    """While a client loads both nodes, so that they apply each other's rows a little later."""
    one, two = replicas
    (clerk,) = (await one.post("/jobs", json={"job": "Clerk"})).json()["ids"]

    async def load() -> None:
        rows = [{"job": "x" * 200} for _ in range(1000)]
        while True:
            await asyncio.gather(one.post("/jobs", json=rows), two.post("/jobs", json=rows))

    loading = asyncio.create_task(load())
    failed = []
    for number in range(60):
        writer, reader = (one, two) if number % 2 else (two, one)
        made = await writer.post("/departments", json={"department": f"D{number}"})
        (department,) = made.json()["ids"]
        found = await reader.get(f"/departments/{department}")
        hire = {
            "name": "Ana",
            "datetime": "2021-07-27T16:02:08Z",
            "department_id": department,
            "job_id": clerk,
        }
        hired = await reader.post("/employees", json=hire)
        failed += [reply.text for reply in (found, hired) if reply.status_code not in (200, 201)]
    loading.cancel()
    assert failed == []


async def test_a_node_that_still_applies_rows_is_not_taken_for_silent(
    replicas: Pair, galera: Galera, caplog: pytest.LogCaptureFixture
) -> None:
    """Only node 2 has a trigger, which makes it apply a row of node 1 late."""
    one, _ = replicas
    late = SILENT_SECONDS + 6
    trigger = (
        f"CREATE TRIGGER late BEFORE INSERT ON departments FOR EACH ROW SET @late = SLEEP({late})"
    )
    await galera.sql(
        2,
        "SET GLOBAL slave_run_triggers_for_rbr = YES",
        "SET SESSION wsrep_on = OFF",
        "USE hirebase",
        trigger,
    )
    async with connect(first_choice(galera, 2)) as database:
        (made,) = (await one.post("/departments", json={"department": "Late"})).json()["ids"]
        began = time.monotonic()
        assert await database.fetch("SELECT id FROM departments") == [(made,)]
        assert time.monotonic() - began > SILENT_SECONDS
    assert "leaving" not in caplog.text
    await galera.sql(2, "SET GLOBAL slave_run_triggers_for_rbr = NO")


async def test_a_job_is_confirmed_followed_and_finished_by_the_other_replica(
    replicas: Pair, database: Database
) -> None:
    one, two = replicas
    lines = b"\n".join(b'{"job": "Clerk %d"}' % number for number in range(3000))
    for number in range(5):
        first, confirm = (one, two) if number % 2 else (two, one)
        job = await begin(first, "j.ndjson", lines)
        assert (await events(confirm, job))[-1]["state"] == "ready"
        await start(confirm, f"/console/jobs/{job}/confirm", json={})
        assert (await events(first, job))[-1]["state"] == "done"
    assert await count(database, "jobs") == 5 * 3000


async def test_a_job_whose_service_is_killed_is_finished_by_the_other(
    services: tuple[Service, Service], replicas: Pair, database: Database
) -> None:
    one, two = replicas
    lines = b"\n".join(b'{"job": "Clerk %d"}' % number for number in range(ROWS))
    job = await begin(one, "j.ndjson", lines)
    assert (await events(two, job))[-1]["state"] == "ready"
    await start(one, f"/console/jobs/{job}/confirm", json={})
    await until(lambda: _some(database), 60)
    await services[0].end(signal.SIGKILL)
    assert (await events(two, job))[-1]["state"] == "failed"
    assert await count(database, "jobs") < ROWS
    await start(two, f"/console/jobs/{job}/confirm", json={})
    assert (await events(two, job))[-1]["state"] == "done"
    assert await count(database, "jobs") == ROWS


async def _some(database: Database) -> bool:
    return await count(database, "jobs") > 0


async def test_restores_on_two_nodes_at_once_leave_the_rows_of_one_file(
    replicas: Pair, database: Database
) -> None:
    one, two = replicas
    files = []
    for name in "ab":
        rows = [{"department": f"{name}{at}"} for at in range(500)]
        await one.post("/departments", json=rows)
        files.append((await one.get("/avro/backup/departments")).content)
        async with database.transaction() as transaction:
            await transaction.execute("DELETE FROM departments")
    for _ in range(5):
        replies = await asyncio.gather(
            *(
                client.post("/avro/restore/departments", content=file)
                for client, file in zip((one, two), files, strict=True)
            )
        )
        assert {reply.status_code for reply in replies} == {200}, [r.text for r in replies]
        stored = await database.fetch("SELECT DISTINCT LEFT(department, 1) FROM departments")
        assert len(stored) == 1
        assert await count(database, "departments") == 500


async def test_replicas_migrate_at_once(galera: Galera) -> None:
    for _ in range(3):
        await galera.empty()
        for n in (1, 2, 3):
            await galera.sql(n, "SET SESSION wsrep_sync_wait = 1", "SELECT 1")
        async with AsyncExitStack() as stack:
            databases = [
                await stack.enter_async_context(connect(first_choice(galera, n))) for n in (1, 2, 3)
            ]
            await asyncio.gather(*(migrate(database) for database in databases))


async def test_replicas_purge_at_once(replicas: Pair, galera: Galera) -> None:
    from service.core.writes.idempotency import Keys

    insert = (
        "INSERT INTO idempotency_keys (digest, fingerprint, user_name, route, request_key, status, "
        "reply, expires_at) VALUES (%s, '', 'u', 'r', 'k', 201, '', '2020-01-01')"
    )
    async with AsyncExitStack() as stack:
        one, two = [
            await stack.enter_async_context(connect(first_choice(galera, n))) for n in (1, 2)
        ]
        async with one.transaction() as transaction:
            await transaction.insert(insert, [(f"{n:064}",) for n in range(5000)])

        async def purge(database: Database) -> None:
            while await count(database, "idempotency_keys"):
                await Keys(database, 1).purge()

        await asyncio.gather(purge(one), purge(two))
