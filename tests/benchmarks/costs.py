"""Where the CPU time of a request goes in the service, and the memory that a request takes."""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from service.core.settings import Settings
from tests.benchmarks import server
from tests.benchmarks.figures import Figure, single
from tests.support import load
from tests.support.waiting import until

SIZES = {1: 4000, 10: 3000, 100: 1500, 1000: 300}
"""Rows of a batch: how many requests are observed."""
CLIENTS = 8
TRACED = 20
OBSERVED = "tests.benchmarks.observed"

Messages = Callable[[int], Callable[[int], bytes]]


async def costs(settings: Settings, messages: Messages, *, part: int = 1) -> list[Figure]:
    """The figures; messages: makes requests with so many rows."""
    found = []
    for traced in (False, True):
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "observed.json"
            with server.service(
                settings, module=OBSERVED, OBSERVED=str(file), TRACED=str(int(traced))
            ) as (port, pid):
                observed = Observed(port, pid, file, messages)
                for size, requests in SIZES.items():
                    if traced:
                        found.append(await observed.memory(size))
                    else:
                        found += await observed.parts(size, requests // part)
    return found


class Observed:
    """A service that tells where its CPU time and memory go."""

    def __init__(self, port: int, pid: int, file: Path, messages: Messages):
        self._port, self._pid, self._file, self._messages = port, pid, file, messages

    async def parts(self, size: int, requests: int) -> list[Figure]:
        """The CPU time of a request in each part of the service."""
        await self._post(size, requests // 10, CLIENTS)
        await self._read()
        before = server.cpu_seconds(self._pid)
        await self._post(size, requests, CLIENTS)
        used = (server.cpu_seconds(self._pid) - before) / requests * 1e6
        samples = (await self._read())["samples"]
        share = used / max(1, sum(samples.values()))
        return [
            single(f"batch of {size}, CPU: {name}", [samples[name] * share], "µs/request")
            for name in sorted(samples, key=lambda name: -samples[name])
        ]

    async def memory(self, size: int) -> Figure:
        """The most bytes that one request holds at a time, above those of an idle service."""
        await self._post(size, TRACED, 1)
        await self._read()
        held = (await self._read())["held"]
        await self._post(size, TRACED, 1)
        return single(
            f"batch of {size}, memory", [((await self._read())["peak"] - held) / 1024], "KiB"
        )

    async def _post(self, size: int, requests: int, clients: int) -> None:
        message, left = self._messages(size), iter(range(requests))

        async def client() -> None:
            line = load.Line(self._port)
            for number in left:
                assert (await line.send(message(number))).status == 201
            line.close()

        await asyncio.gather(*(client() for _ in range(clients)))

    async def _read(self) -> Any:
        """What the service counted since the last time."""
        self._file.unlink(missing_ok=True)
        os.kill(self._pid, signal.SIGUSR1)

        async def is_written() -> bool:
            return self._file.exists()

        await until(is_written, 10)
        return msgspec.json.decode(self._file.read_bytes())
