"""Two replicas behind HAProxy are restarted one after the other under load: no request is lost."""

from __future__ import annotations

import asyncio
import signal
from contextlib import suppress
from pathlib import Path

import pytest

from service.core.database.transactions import Database
from service.core.settings import Settings
from tests.support.hires import add_parents, count
from tests.support.load import report, started
from tests.support.program import Service
from tests.support.proxied import missing, proxied
from tests.support.single_tries import SingleTries
from tests.support.sizes import sized

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]
ROUNDS = sized(short=1, full=10)
DELAY = 5
NOTICED_SECONDS = 2.5
"""The proxy asks once a second whether a replica is ready."""


async def test_no_request_is_lost(migrated: Settings, database: Database, tmp_path: Path) -> None:
    if lacks := missing():
        pytest.skip(f"this machine has not {lacks}")
    await add_parents(database, range(1, 2))
    variables = {"API_SHUTDOWN_DELAY": str(DELAY), "FORWARDED_ALLOW_IPS": "*"}
    services = [await started(migrated, **variables) for _ in range(2)]

    async def restart() -> None:
        await asyncio.sleep(1)
        for number in [0, 1] * ROUNDS:
            ended = await services[number].end(signal.SIGTERM)
            assert (ended.code, ended.err) == (0, "")
            services[number] = await started(migrated, port=services[number].port, **variables)
            await asyncio.sleep(NOTICED_SECONDS)

    try:
        async with proxied(tmp_path, [service.port for service in services]) as port:
            clients = SingleTries(port)
            await clients.run_while(restart())
    finally:
        await asyncio.gather(*(_end(service) for service in services))
    sent, lost = len(clients.replies), clients.lost
    report("rolling restart", requests=sent, lost=len(lost), slowest=clients.slowest)
    assert lost == []
    assert sent > 100
    stored = await count(database, "hired_employees")
    assert stored == clients.replies.count(201) * clients.rows


async def _end(service: Service) -> None:
    with suppress(ProcessLookupError):
        await service.end()
