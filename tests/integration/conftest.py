"""The application for tests that send requests at the same time."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from service.core.database import Database
from service.core.settings import Settings
from tests.serving import serving


@pytest.fixture(scope="module")
async def service(migrated: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """One application for a module, in this event loop."""
    async with serving(migrated) as client:
        yield client


@pytest.fixture
async def api(service: httpx.AsyncClient, database: Database) -> httpx.AsyncClient:
    """A client of it, on empty tables."""
    return service
