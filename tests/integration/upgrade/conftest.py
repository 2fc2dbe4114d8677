"""The databases of released versions."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from service.core.database.connect import connect
from service.core.database.transactions import Database
from service.core.settings import Settings
from tests.support.releases import RELEASES, Release


@pytest.fixture(params=RELEASES, ids=lambda release: str(release.version))
def release(request: pytest.FixtureRequest) -> Release:
    found: Release = request.param
    return found


@pytest.fixture
async def old(scratch: Settings, release: Release) -> AsyncIterator[Database]:
    """The database of a released version, with its rows."""
    async with connect(scratch) as database:
        await release.create(database)
        await release.insert(database)
        yield database
