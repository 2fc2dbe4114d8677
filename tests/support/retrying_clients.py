"""Clients that post batches with idempotency keys, and repeat each batch until it gets a result."""

from __future__ import annotations

import asyncio
import random
import signal
from contextlib import suppress
from typing import Any

import httpx

from service.core.database.transactions import Database
from service.core.settings import Settings
from tests.support import engine
from tests.support.hires import hire
from tests.support.program import Service

ROWS = 40
BAD = 4
PASSWORD = "retrying-password"


class RetryingClients:
    """Several clients of one service. A test may kill and restart the service meanwhile.

    acknowledged: the name of each inserted row, by the id in the reply.
    """

    def __init__(self, settings: Settings, clients: int = 4):
        self._variables = engine.environment(settings) | {
            "API_USER": "admin",
            "API_PASS": PASSWORD,
            "LOG_LEVEL": "error",
        }
        del self._variables["API_PORT"]
        self._clients = clients
        self._stopping = asyncio.Event()
        self._progress = asyncio.Condition()
        self._service: Service | None = None
        self.acknowledged: dict[int, str] = {}
        self.batches = 0
        self.repeats = 0
        self.kills = 0

    async def start(self) -> None:
        """Start the service. Its warnings are no errors, because it is killed while it works."""
        self._service = await Service.started(**self._variables, PYTHONWARNINGS="default")

    async def kill(self) -> None:
        """Kill the service with -9 and start it again."""
        assert self._service
        await self._service.end(signal.SIGKILL)
        self.kills += 1
        await self.start()

    async def wait_for_batches(self, batches: int) -> None:
        """Wait until this many batches have a result."""
        async with self._progress:
            await self._progress.wait_for(lambda: self.batches >= batches)

    async def post_while(self, disturbance: Any) -> None:
        """Post while the disturbance runs, then until each batch has a result."""
        try:
            async with asyncio.TaskGroup() as clients:
                for number in range(self._clients):
                    clients.create_task(self._post(number))
                await disturbance
                self._stopping.set()
        finally:
            assert self._service
            await self._service.end()

    async def _post(self, client: int) -> None:
        number = 0
        while not self._stopping.is_set():
            names = [f"{client}-{number}-{at}" for at in range(ROWS)]
            rows = [hire(name=name if at >= BAD else " ") for at, name in enumerate(names)]
            verdict = await self._post_until_answered(f"{client}-{number}", rows)
            assert (verdict["inserted"], verdict["failed"]) == (ROWS - BAD, BAD)
            self.acknowledged |= {
                key: name for key, name in zip(verdict["ids"], names, strict=True) if key
            }
            number += 1
            async with self._progress:
                self.batches += 1
                self._progress.notify_all()

    async def _post_until_answered(self, key: str, rows: list[dict[str, Any]]) -> Any:
        while True:
            with suppress(httpx.TransportError, TimeoutError):
                assert self._service
                async with asyncio.timeout(40), self._service.client("admin", PASSWORD) as client:
                    # Some disconnect before they have a reply, like clients that are killed.
                    timeout = 0.02 if random.random() < 0.1 else 40
                    reply = await client.post(
                        "/employees",
                        json=rows,
                        headers={"Idempotency-Key": key},
                        timeout=timeout,
                    )
                    if reply.status_code == 207:
                        return reply.json()
                    assert reply.status_code in {409, 503}, reply.text
            self.repeats += 1
            await asyncio.sleep(0.05)


async def assert_written_once(database: Database, clients: RetryingClients) -> None:
    """Each row is stored once, with the id of the reply. Each reject is stored once."""
    stored = await database.fetch("SELECT id, name FROM hired_employees")
    assert len(stored) == clients.batches * (ROWS - BAD)
    assert dict(stored) == clients.acknowledged
    ((rejects,),) = await database.fetch("SELECT COUNT(*) FROM rejects")
    assert rejects == clients.batches * BAD
