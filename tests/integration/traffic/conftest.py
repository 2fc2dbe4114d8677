"""The server of the service on a port."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from service.core.settings import Settings
from tests.support.serving import listening


@pytest.fixture(scope="module")
async def server(migrated: Settings) -> AsyncIterator[httpx.AsyncClient]:
    async with listening(migrated) as client:
        yield client
