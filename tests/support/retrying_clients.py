"""Clients that post batches with idempotency keys, and repeat each batch until it gets a result."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections import Counter
from collections.abc import Coroutine
from itertools import pairwise
from typing import Any

import msgspec

from service.core.database.transactions import Database
from service.core.settings import Settings
from tests.support.hires import hire
from tests.support.history import Attempt, Batch, anomalies
from tests.support.load import Line, request, started
from tests.support.program import Service

REPLY_SECONDS = 90
"""The seconds that a client waits for a reply."""
PAUSE = 0.05
REPEATED = 20
"""One batch of so many is sent again after its result, to compare the replies."""


class RetryingClients:
    """Clients of one or more services, which a test may kill and restart meanwhile.

    After a failure, a client goes to the next service. history: all batches and their replies.
    """

    def __init__(
        self,
        *settings: Settings,
        rows: int = 40,
        bad: int = 4,
        leaving: float = 0.1,
        keyed: bool = True,
    ):
        """settings: of each service; bad: how many rows of a batch are invalid.

        leaving: the part of the requests whose client disconnects early, as if it were killed.
        keyed: clients send keys and repeat; without keys, they send each batch once.
        """
        self.rows, self.bad, self.leaving, self.keyed = rows, bad, leaving, keyed
        self.history: list[Batch] = []
        self.batches = 0
        self.kills = 0
        self._settings = settings
        self._services: list[Service] = []
        self._stopping = asyncio.Event()
        self._progress = asyncio.Condition()

    @property
    def attempts(self) -> list[Attempt]:
        """All requests, in the order of their ends."""
        found = [attempt for batch in self.history for attempt in batch.attempts]
        return sorted(found, key=lambda attempt: attempt.ended)

    @property
    def replies(self) -> Counter[int | None]:
        """How many replies there are of each status; None: no reply."""
        return Counter(attempt.status for attempt in self.attempts)

    @property
    def repeats(self) -> int:
        """How many requests had no success."""
        return sum(not attempt.is_success for attempt in self.attempts)

    @property
    def slowest(self) -> float:
        """The seconds that the slowest request took."""
        return max(attempt.ended - attempt.began for attempt in self.attempts)

    @property
    def gap(self) -> float:
        """The longest time between two successes, in seconds."""
        ends = [attempt.ended for attempt in self.attempts if attempt.is_success]
        return max(later - earlier for earlier, later in pairwise(ends))

    def first_success(self, after: float) -> float:
        """The end of the first success after a time."""
        return min(it.ended for it in self.attempts if it.is_success and it.ended > after)

    async def start(self) -> None:
        """Start the services. Their warnings are no errors, because they are killed at work."""
        for settings in self._settings:
            self._services.append(await started(settings, PYTHONWARNINGS="default"))

    async def kill(self, number: int = 0) -> None:
        """Kill a service with -9 and start it again."""
        await self._services[number].end(signal.SIGKILL)
        self.kills += 1
        self._services[number] = await started(self._settings[number], PYTHONWARNINGS="default")

    async def wait_for_batches(self, batches: int) -> None:
        """Wait until this many batches have a result."""
        async with self._progress:
            await self._progress.wait_for(lambda: self.batches >= batches)

    async def post_while(self, disturbance: Coroutine[Any, Any, None], clients: int = 4) -> None:
        """Post while the disturbance runs, then until each batch has a result."""
        try:
            async with asyncio.TaskGroup() as posting:
                for number in range(clients):
                    posting.create_task(self._post(number))
                await disturbance
                self._stopping.set()
        finally:
            await asyncio.gather(*(service.end() for service in self._services))

    async def _post(self, client: int) -> None:
        connections = _Connections(self._services, client)
        number = 0
        while not self._stopping.is_set():
            key = f"{client}-{number}"
            batch = Batch(key, [f"{key}-{at}" for at in range(self.rows)])
            self.history.append(batch)
            await self._post_until_answered(batch, connections)
            if self.keyed and number % REPEATED == 0:
                await self._post_until_answered(batch, connections)
            number += 1
            async with self._progress:
                self.batches += 1
                self._progress.notify_all()
        connections.close()

    async def _post_until_answered(self, batch: Batch, connections: _Connections) -> None:
        names = [name if at >= self.bad else " " for at, name in enumerate(batch.names)]
        body = msgspec.json.encode([hire(name=name) for name in names])
        key = {"idempotency_key": batch.key} if self.keyed else {}
        message = request("POST", "/employees", body, **key)
        while True:
            seconds = 0.02 if random.random() < self.leaving else REPLY_SECONDS
            attempt = await connections.send(message, seconds)
            batch.attempts.append(attempt)
            if attempt.is_success or attempt.is_refusal or not self.keyed:
                return
            await asyncio.sleep(PAUSE)


class _Connections:
    """The connections of a client to the services, whose list may change."""

    def __init__(self, services: list[Service], first: int):
        self._services, self._at = services, first
        self._lines: dict[int, Line] = {}

    async def send(self, message: bytes, seconds: float) -> Attempt:
        """Send to the service that answered last, else to the next one."""
        port = self._services[self._at % len(self._services)].port
        line = self._lines.setdefault(port, Line(port))
        began = time.monotonic()
        status, body = None, b""
        try:
            async with asyncio.timeout(seconds):
                reply = await line.send(message)
                status, body = reply.status, reply.body
        except (OSError, EOFError):  # a timeout is an OSError
            pass
        attempt = Attempt(status, body, began, time.monotonic())
        self._at += not attempt.is_success
        return attempt

    def close(self) -> None:
        for line in self._lines.values():
            line.close()


async def assert_written_once(database: Database, clients: RetryingClients) -> None:
    """Each row is stored once, with the id of the reply. Each reject is stored once."""
    stored = await database.fetch("SELECT id, name FROM hired_employees")
    assert anomalies(clients.history, stored) == []
    assert set(clients.replies) <= {None, 207, 409, 503}
    assert len(stored) == clients.batches * (clients.rows - clients.bad)
    ((rejects,),) = await database.fetch("SELECT COUNT(*) FROM rejects")
    assert rejects == clients.batches * clients.bad
