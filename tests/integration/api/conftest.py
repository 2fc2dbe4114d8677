"""An application with hires to find."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from service.core.database.connect import connect
from service.core.settings import Settings
from service.core.tables import by_path
from tests.conftest import calling, empty
from tests.support.hires import add_parents
from tests.support.lists import HIRES


@pytest.fixture(scope="module")
async def hires(migrated: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an application with 150 hires, in 5 departments and 7 jobs."""
    async with connect(migrated) as database:
        await empty(database)
        await add_parents(database, range(1, 8))
        async with database.transaction() as transaction:
            await transaction.insert(by_path("employees").sql["insert_with_id"], HIRES)
    async with calling(migrated) as client:
        yield client
