"""Servers that chaos tests may damage."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from service.core.database.connect import connect
from service.core.database.migrations import migrate
from service.core.database.transactions import Database
from tests.support import engine
from tests.support.hires import add_parents
from tests.support.servers import Server


@pytest.fixture
async def stocked(server: Server) -> AsyncIterator[Database]:
    """Its migrated tables, with twelve departments and twelve jobs."""
    await engine.create_database(server.settings)
    async with connect(server.settings) as database:
        await migrate(database)
        await add_parents(database, range(1, 13))
        yield database
