"""The service is killed with -9 while clients post: after their retries, each row exists once."""

from __future__ import annotations

import asyncio
import random

from service.core.database.transactions import Database
from service.core.settings import Settings
from tests.support.hires import add_parents
from tests.support.retrying_clients import RetryingClients, assert_written_once

KILLS = 3


async def test_a_killed_service_writes_every_row_once(
    migrated: Settings, database: Database
) -> None:
    async def disturb() -> None:
        for _ in range(KILLS):
            await asyncio.sleep(random.uniform(0.05, 0.6))
            await clients.kill()

    await add_parents(database, range(1, 2))
    clients = RetryingClients(migrated)
    await clients.start()
    await clients.post_while(disturb())
    assert clients.repeats >= KILLS
    await assert_written_once(database, clients)
