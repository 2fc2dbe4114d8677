"""The memory of an export does not grow with the list, however slowly the client reads."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import product

import pytest

from service.core.database.transactions import Database
from service.core.settings import Settings
from tests.support.load import PASSWORD, USER, started
from tests.support.processes import peak
from tests.support.program import Service

ROWS = 1 << 17
LONGEST = 255 * len("😀".encode())
PLAIN = {"Accept-Encoding": "identity"}
LIMIT = 60
"""MiB: a window of the longest rows has 8 MiB, and a few of them are in work."""

# It reads 127 MiB seven times, and seekdb has a lower priority than all other work of the machine.
pytestmark = pytest.mark.timeout(600)


@pytest.fixture
async def served(database: Database, migrated: Settings) -> AsyncIterator[Service]:
    """The service in a separate process, with 131,072 jobs of the greatest length: 127 MiB."""
    async with database.transaction(120) as transaction:
        await transaction.execute("INSERT INTO jobs (id, job) VALUES (1, REPEAT('😀', 255))")
        for power in range(17):
            await transaction.execute(
                f"INSERT INTO jobs (id, job) SELECT id + {1 << power}, job FROM jobs"
            )
    service = await started(migrated)
    yield service
    assert (await service.end()).code == 0


async def test_a_long_list_takes_little_memory(served: Service) -> None:
    """In any form and order, also if the client reads slowly, or leaves."""
    async with served.client(USER, PASSWORD) as client:
        await client.get("/jobs?limit=1")
        before = peak(served.pid)
        for form, order in product(("csv", "ndjson"), ("id", "-job")):
            address = f"/jobs?format={form}&order={order}"
            async with client.stream("GET", address, headers=PLAIN) as reply:
                size = sum([len(piece) async for piece in reply.aiter_raw()])
            assert size > ROWS * LONGEST
        for _ in range(3):
            async with client.stream("GET", "/jobs?format=csv", headers=PLAIN) as reply:
                first = await anext(reply.aiter_raw())
                assert first.startswith(b"id,job\n")
                await asyncio.sleep(1)
        assert (await client.get("/jobs?id=7&format=csv")).status_code == 200
    assert peak(served.pid) - before < LIMIT
