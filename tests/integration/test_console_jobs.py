"""Jobs of the console over several replicas: one runs a job, any follows and finishes it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from service.core.database import Database
from service.core.settings import Settings
from tests.conftest import calling
from tests.hires import count
from tests.integration.test_console import begun, ended


@pytest.fixture
async def replicas(
    migrated: Settings, database: Database
) -> AsyncIterator[tuple[httpx.AsyncClient, httpx.AsyncClient]]:
    """Two applications on one database."""
    async with calling(migrated) as one, calling(migrated) as other:
        yield one, other


async def test_a_job_that_is_confirmed_several_times_at_once_runs_once(
    replicas: tuple[httpx.AsyncClient, httpx.AsyncClient], database: Database
) -> None:
    one, other = replicas
    job = await begun(one, "/console/loads?table=jobs&name=j.ndjson", content=b'{"job": "A"}\n')
    replies = await asyncio.gather(
        *(
            client.post(f"/console/jobs/{job}/confirm", json={})
            for client in (one, other, one, other)
        )
    )
    assert sorted(reply.status_code for reply in replies) == [201, 409, 409, 409]
    assert (await ended(other, job))[-1]["state"] == "done"
    assert await count(database, "jobs") == 1
