"""A second address of the server."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from service.core.settings import Settings
from tests.support import engine
from tests.support.tcp_proxy import Proxy


@pytest.fixture
async def other(migrated: Settings) -> AsyncIterator[Proxy]:
    """A second address of the same server."""
    async with engine.proxy(migrated) as proxy:
        yield proxy
