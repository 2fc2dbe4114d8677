"""A slow network, and a network that stalls in the middle of a statement or a COMMIT."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import httpx
import msgspec
import pytest

from service.core.database.transactions import Database
from service.core.settings import Settings
from tests.support import engine
from tests.support.hires import add_parents, count, hire
from tests.support.serving import serving
from tests.support.sizes import FULL
from tests.support.tcp_proxy import Proxy
from tests.support.waiting import until

pytestmark = pytest.mark.chaos
DEADLINE, MARGIN = 2, 0.5
SESSIONS = """
SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()
"""
STALLS = [
    (b"SELECT COUNT(*) FROM departments", False),
    (b"INSERT INTO hired_employees", False),
    (b"INSERT INTO hired_employees", True),
    (b"COMMIT", False),
    (b"COMMIT", True),
]


@pytest.fixture
async def far(
    proxy: Proxy, migrated: Settings, database: Database
) -> AsyncIterator[httpx.AsyncClient]:
    """The service, with a proxy in front of its database."""
    await add_parents(database, range(1, 3))
    over = msgspec.structs.replace(engine.through(proxy, migrated), mysql_timeout=DEADLINE)
    async with serving(over) as client:
        yield client


async def sessions(database: Database) -> set[int]:
    """The sessions of the service."""
    return {number for (number,) in await database.fetch(SESSIONS)}


@pytest.mark.parametrize("keyed", [False, True] if FULL else [True])
@pytest.mark.parametrize(("text", "heard"), STALLS)
async def test_a_stall_is_a_503_within_the_deadline_and_ends_its_connection(
    far: httpx.AsyncClient, proxy: Proxy, database: Database, text: bytes, heard: bool, keyed: bool
) -> None:
    headers = {"Idempotency-Key": f"{text!r} {heard}"} if keyed else {}
    rows = [hire(name=f"{at}") for at in range(50)]
    assert (await far.get("/health/ready")).status_code == 200
    pooled = await sessions(database)
    proxy.stall_at(text, heard=heard)
    began = time.monotonic()
    reply = await far.post("/employees", json=rows, headers=headers)
    assert time.monotonic() - began <= DEADLINE + MARGIN
    assert (reply.status_code, "Retry-After" in reply.headers) == (503, True)
    assert proxy.stalled
    proxy.flow()

    async def one_is_closed() -> bool:
        # Background tasks may have opened other connections, which stay.
        return bool(pooled - await sessions(database))

    await until(one_is_closed, 10)
    written = await count(database, "hired_employees")
    assert written in ({0, 50} if text == b"COMMIT" else {0})
    again = await far.post("/employees", json=rows, headers=headers)
    assert again.status_code == 201
    assert await count(database, "hired_employees") == (50 if keyed else written + 50)


async def test_probes_answer_while_the_database_is_stalled(
    far: httpx.AsyncClient, proxy: Proxy
) -> None:
    proxy.stall()
    ready = asyncio.create_task(far.get("/health/ready"))
    for _ in range(20):
        began = time.monotonic()
        assert (await far.get("/health/live")).status_code == 200
        assert time.monotonic() - began < 0.5
        await asyncio.sleep(0.05)
    assert (await ready).status_code == 503
    proxy.flow()

    async def is_ready() -> bool:
        return (await far.get("/health/ready")).status_code == 200

    await until(is_ready, 2)


async def test_everything_works_on_a_slow_network(
    proxy: Proxy, migrated: Settings, database: Database
) -> None:
    await add_parents(database, range(1, 3))
    proxy.delay = 0.05
    async with serving(engine.through(proxy, migrated)) as far:
        await use_all_routes(far, database)


async def use_all_routes(far: httpx.AsyncClient, database: Database) -> None:
    """Use each kind of route."""
    rows = [hire(name=f"{at}" if at % 10 else " ") for at in range(100)]
    replies = await asyncio.gather(
        *(
            far.post("/employees", json=rows, headers={"Idempotency-Key": f"{at}"})
            for at in range(8)
        )
    )
    assert [reply.status_code for reply in replies] == [207] * 8
    assert await count(database, "hired_employees") == 8 * 90
    assert len((await far.get("/employees?limit=1000")).json()["rows"]) == 720
    assert (await far.get("/reports/hires-by-quarter?year=2021")).status_code == 200
    copy = await far.get("/avro/backup/employees")
    assert (await far.post("/avro/verify", content=copy.content)).status_code == 200
    assert (await far.get("/health/ready")).status_code == 200
