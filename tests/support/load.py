"""Load on the service over plain sockets, which need little processor time."""

from __future__ import annotations

import asyncio
import time
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from statistics import quantiles
from typing import Any

import msgspec

from service.core.settings import Settings
from tests.support import engine
from tests.support.hires import hire
from tests.support.program import Service

USER, PASSWORD = "admin", "load-password"
CREDENTIALS = f"Basic {b64encode(f'{USER}:{PASSWORD}'.encode()).decode()}"
SUCCESS = {200, 201, 207}
IDLE_SECONDS = 4
"""The service closes an idle connection after 5 s."""
FIGURES: list[str] = []
"""What the tests measured; printed at the end of the run."""


@dataclass(frozen=True)
class Reply:
    """A reply, and the seconds until it was complete."""

    status: int
    headers: dict[str, str]
    body: bytes
    seconds: float

    @property
    def sheds(self) -> bool:
        """Whether it is 503 with Retry-After."""
        return self.status == 503 and "retry-after" in self.headers


async def started(
    settings: Settings, *options: str, port: int | str = "", **variables: str
) -> Service:
    """The service on a database, in a separate process."""
    given = engine.environment(settings) | {"API_USER": USER, "API_PASS": PASSWORD}
    del given["API_PORT"]
    given |= {"LOG_LEVEL": "error"} | variables
    return await Service.started(*options, port=port, **given)


def request(method: str, path: str, body: bytes = b"", **headers: str) -> bytes:
    """A request as it goes over the wire; underscores in the names of headers are hyphens."""
    fields = {"host": "test", "authorization": CREDENTIALS, "content-length": str(len(body))}
    fields |= {"content-type": "application/json"} if body else {}
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {fields[name]}" for name in fields)]
    return "\r\n".join([*lines, "", ""]).encode() + body


def batch(rows: int, **fields: Any) -> bytes:
    """This many good hires."""
    return msgspec.json.encode([hire(name=f"Ana Gómez {at}", **fields) for at in range(rows)])


class Line:
    """A connection to the service, opened again if it was closed."""

    def __init__(self, port: int):
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._used = 0.0

    async def send(self, message: bytes) -> Reply:
        """A request and its reply."""
        started = time.perf_counter()
        reader, writer = await self._open()
        try:
            writer.write(message)
            status, headers, body = await read_reply(reader)
        except BaseException:  # a cancelled request, too
            self.close()
            raise
        if headers.get("connection") == "close":
            self.close()
        return Reply(status, headers, body, time.perf_counter() - started)

    def close(self) -> None:
        """Close the connection."""
        if self._streams:
            self._streams[1].close()
            self._streams = None

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if time.perf_counter() - self._used > IDLE_SECONDS:
            self.close()
        self._used = time.perf_counter()
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        return self._streams


async def read_reply(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of the next reply."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    fields = (line.partition(":") for line in head[1:] if line)
    headers = {name.lower(): value.strip() for name, _, value in fields}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return int(head[0].split()[1]), headers, body


async def in_turn(port: int, message: bytes, replies: int, pause: float = 0) -> list[Reply]:
    """One client that waits for each reply."""
    line, found = Line(port), []
    for _ in range(replies):
        found.append(await line.send(message))
        await asyncio.sleep(pause)
    line.close()
    return found


async def paced(
    port: int, make: Callable[[int], bytes], rate: float, seconds: float, clients: int = 8
) -> list[Reply]:
    """Requests at this rate, from clients that wait for each reply; rate inf: no pauses."""
    end = time.perf_counter() + seconds
    numbers = count()
    found: list[Reply] = []

    async def post(client: int) -> None:
        line, due = Line(port), time.perf_counter() + client / rate
        while (now := time.perf_counter()) < end:
            if due > now:
                await asyncio.sleep(due - now)
            due += clients / rate
            found.append(await line.send(make(next(numbers))))
        line.close()

    await asyncio.gather(*(post(client) for client in range(clients)))
    return found


async def flooded(port: int, message: bytes, rate: float, seconds: float) -> list[Reply]:
    """Requests at this rate, without waiting for earlier replies."""
    free: list[Line] = []
    started = time.perf_counter()

    async def send() -> Reply:
        line = free.pop() if free else Line(port)
        reply = await line.send(message)
        free.append(line)
        return reply

    tasks = []
    for number in range(int(rate * seconds)):
        await asyncio.sleep(max(0, started + number / rate - time.perf_counter()))
        tasks.append(asyncio.create_task(send()))
    replies = await asyncio.gather(*tasks)
    for line in free:
        line.close()
    return replies


def percentile(replies: list[Reply], percent: int) -> float:
    """This percentile of the reply times, in milliseconds."""
    return quantiles([reply.seconds for reply in replies], n=100)[percent - 1] * 1000


def p99(replies: list[Reply]) -> float:
    """The 99th percentile of the reply times, in milliseconds."""
    return percentile(replies, 99)


def figures(text: bytes) -> dict[str, float]:
    """The samples of /metrics by name."""
    lines = (line for line in text.decode().splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def report(what: str, **found: Any) -> None:
    """Add a line with the measurements of a test."""
    shown = (
        f"{name} {value:.2f}" if isinstance(value, float) else f"{name} {value}"
        for name, value in found.items()
    )
    FIGURES.append(f"{what}: {', '.join(shown)}")
