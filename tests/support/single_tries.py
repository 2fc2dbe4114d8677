"""Clients that repeat nothing, so that each lost request counts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from itertools import count
from typing import Any

from tests.support.load import SUCCESS, Line, batch, request

LIMITS = request("GET", "/limits")


class SingleTries:
    """Clients that post batches and read, through a proxy, each request once."""

    def __init__(self, port: int, clients: int = 6, rows: int = 20):
        self._port, self._clients, self.rows = port, clients, rows
        self._stopping = False
        self._numbers = count()
        self.replies: list[int | str] = []
        self.slowest = 0.0

    @property
    def lost(self) -> list[int | str]:
        """The replies that are no success, and the errors of connections."""
        return [reply for reply in self.replies if reply not in SUCCESS]

    async def run_while(self, restarting: Coroutine[Any, Any, None]) -> None:
        """Send until the restarts are done, and a second longer."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self._clients):
                group.create_task(self._send())
            try:
                await restarting
                await asyncio.sleep(1)
            finally:
                self._stopping = True

    async def _send(self) -> None:
        line, message = Line(self._port), request("POST", "/employees", batch(self.rows))
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
