"""Service and database are killed with -9 under clients with keys: every row is there once."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Iterator

import pytest

from service.core import database as databases
from service.core.migrate import migrate
from tests import engine
from tests.acceptance.test_loader_killed import Container, Embedded, Server
from tests.hires import add_parents
from tests.insistent import Insistent, written_once

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(900)]
KILLS = 10


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A durable server of one's own that can be killed."""
    if os.environ["TEST_SERVER"].startswith(engine.EMBEDDED):
        yield Embedded(tmp_path_factory.mktemp("server"))
    else:
        with Container.running() as container:
            yield container


@pytest.mark.parametrize("victims", [["service"], ["database"], ["service", "database"]])
async def test_every_row_is_there_once(server: Server, victims: list[str]) -> None:
    async def disturb() -> None:
        for _ in range(KILLS):
            await asyncio.sleep(random.uniform(0.1, 1.5))
            victim = random.choice(victims)
            if victim == "database":
                await server.kill()
            if victim == "service":
                await clients.kill()
        await asyncio.sleep(1)

    await engine.create_database(server.settings)
    async with databases.connect(server.settings) as database:
        await migrate(database)
        await add_parents(database, range(1, 2))
    clients = Insistent(server.settings)
    await clients.start()
    await clients.post_while(disturb())
    assert clients.repeats >= KILLS
    async with databases.connect(server.settings) as database:
        await written_once(database, clients)
