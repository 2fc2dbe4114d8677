"""Service and database are killed with -9 while clients retry: each row is stored once."""

from __future__ import annotations

import asyncio
import random
from itertools import cycle, islice

import pytest

from service.core.database.connect import connect
from service.core.database.migrations import migrate
from tests.support import engine
from tests.support.hires import add_parents
from tests.support.load import report
from tests.support.retrying_clients import RetryingClients, assert_written_once
from tests.support.servers import Server
from tests.support.sizes import sized

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1800)]
KILLS = sized(short=4, full=30)
BATCHES = sized(short=200, full=10_000)


async def test_every_row_is_stored_once(server: Server) -> None:
    async def disturb() -> None:
        for number, victim in enumerate(islice(cycle(["service", "database"]), KILLS)):
            await clients.wait_for_batches(BATCHES * number // KILLS)
            await asyncio.sleep(random.uniform(0.1, 1))
            if victim == "database":
                await server.kill()
            if victim == "service":
                await clients.kill()
        await clients.wait_for_batches(BATCHES)

    await engine.create_database(server.settings)
    async with connect(server.settings) as database:
        await migrate(database)
        await add_parents(database, range(1, 2))
    clients = RetryingClients(server.settings)
    await clients.start()
    await clients.post_while(disturb())
    report("kill -9", batches=clients.batches, kills=KILLS, repeats=clients.repeats)
    assert clients.batches >= BATCHES
    assert clients.repeats >= KILLS
    async with connect(server.settings) as database:
        await assert_written_once(database, clients)
