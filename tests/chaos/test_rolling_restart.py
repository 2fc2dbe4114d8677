"""Two replicas behind HAProxy are restarted one after the other under load: no request is lost."""

from __future__ import annotations

import asyncio
import signal
import time
from contextlib import suppress
from itertools import count as counted
from pathlib import Path

import pytest

from service.core.database.transactions import Database
from service.core.settings import Settings
from tests.support.hires import add_parents, count
from tests.support.load import SUCCESS, Line, batch, report, request, started
from tests.support.program import Service
from tests.support.proxied import missing, proxied
from tests.support.sizes import sized

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]
ROUNDS = sized(short=1, full=10)
CLIENTS, ROWS, DELAY = 6, 20, 5
LIMITS = request("GET", "/limits")


class Load:
    """Clients that post batches and read, each request once: nothing is repeated."""

    def __init__(self, port: int):
        self._port = port
        self._stopping = False
        self._numbers = counted()
        self.replies: list[int | str] = []
        self.slowest = 0.0

    async def run_while(self, restarting: asyncio.Task[None]) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(CLIENTS):
                group.create_task(self._send())
            try:
                await restarting
                await asyncio.sleep(1)
            finally:
                self._stopping = True

    async def _send(self) -> None:
        line, message = Line(self._port), request("POST", "/employees", batch(ROWS))
        while not self._stopping:
            began = time.monotonic()
            try:
                reply = await line.send(LIMITS if next(self._numbers) % 4 == 0 else message)
                self.replies.append(reply.status)
            except (OSError, EOFError) as error:
                self.replies.append(repr(error))
            self.slowest = max(self.slowest, time.monotonic() - began)
            await asyncio.sleep(0.01)
        line.close()


async def test_no_request_is_lost(migrated: Settings, database: Database, tmp_path: Path) -> None:
    if lacks := missing():
        pytest.skip(f"this machine has not {lacks}")
    await add_parents(database, range(1, 2))
    variables = {"API_SHUTDOWN_DELAY": str(DELAY), "FORWARDED_ALLOW_IPS": "*"}
    services = [await started(migrated, **variables) for _ in range(2)]

    async def restart(port: int) -> None:
        await asyncio.sleep(1)
        for number in [0, 1] * ROUNDS:
            ended = await services[number].end(signal.SIGTERM)
            assert (ended.code, ended.err) == (0, "")
            services[number] = await started(migrated, port=services[number].port, **variables)
            await asyncio.sleep(2.5)  # until the proxy has seen that it is ready

    try:
        async with proxied(tmp_path, [service.port for service in services]) as port:
            load = Load(port)
            await load.run_while(asyncio.create_task(restart(port)))
    finally:
        await asyncio.gather(*(_end(service) for service in services))
    lost = [reply for reply in load.replies if reply not in SUCCESS]
    posted = load.replies.count(201)
    report("rolling restart", requests=len(load.replies), lost=len(lost), slowest=load.slowest)
    assert lost == []
    assert len(load.replies) > 100
    assert await count(database, "hired_employees") == posted * ROWS


async def _end(service: Service) -> None:
    with suppress(ProcessLookupError):
        await service.end()
