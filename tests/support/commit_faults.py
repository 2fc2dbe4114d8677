"""A way to the server that ends, or lies, exactly where a transaction with rows is committed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Literal

from service.core.settings import Settings
from tests.support import engine
from tests.support.tcp_proxy import Reach, Streams

Fate = Literal["committed", "lost", "late", "deadlock", "unanswered", "stalled"]
"""Of a COMMIT: done but the reply is lost; never there; there a second after the client has given
up; answered with error 1213, as Galera and group replication do; done but silence follows; silence
from here on, and the server waits for it with its locks held."""

LATE_SECONDS = 1.0
STALLED_SECONDS = 4.0
DEADLOCK = b"\xff" + (1213).to_bytes(2, "little") + b"#40001Deadlock found; try restarting"


class _Reader(asyncio.StreamReader):
    """What comes from the server, until it ends."""

    def __init__(self, source: asyncio.StreamReader):
        super().__init__()
        self._source = source
        self._task = asyncio.create_task(self._pass_on())
        self.ending = self.silent = False

    async def _pass_on(self) -> None:
        while data := await self._source.read(1 << 16):
            if self.ending:
                break
            if not self.silent:
                self.feed_data(data)
        self.feed_eof()


class _Writer:
    """What goes to the server; asks for the fate of each COMMIT after an INSERT."""

    def __init__(
        self, sink: asyncio.StreamWriter, reader: _Reader, fate: Callable[[], Fate | None]
    ):
        self._sink = sink
        self._reader = reader
        self._fate = fate
        self._wrote = self._held = False
        self.transport = sink.transport

    def write(self, data: bytes) -> None:
        self._wrote |= b"INSERT INTO" in data
        fate = self._fate() if self._wrote and b"\x03COMMIT" in data else None
        if fate is None:
            self._sink.write(data)
        elif fate == "committed":
            self._reader.ending = True
            self._sink.write(data)
        elif fate == "unanswered":
            self._reader.silent = True
            self._sink.write(data)
        elif fate == "stalled":
            self._held = True
            asyncio.get_running_loop().call_later(STALLED_SECONDS, self._sink.close)
        elif fate == "deadlock":
            self._reader.feed_data(len(DEADLOCK).to_bytes(3, "little") + b"\x01" + DEADLOCK)
        else:
            self._held = fate == "late"
            self._reader.feed_eof()
            if self._held:
                asyncio.get_running_loop().call_later(LATE_SECONDS, self._late, data)

    async def drain(self) -> None:
        await self._sink.drain()

    def close(self) -> None:
        if not self._held:
            self._sink.close()

    def _late(self, data: bytes) -> None:
        self._sink.write(data)
        self._sink.close()


class Commits:
    """The fates of the next COMMITs, in order; those after them are as usual."""

    def __init__(self) -> None:
        self.fates: list[Fate] = []
        self.seen = 0

    def reach(self, inner: Reach) -> Reach:
        """A way to the server on which they come true."""

        async def reach() -> Streams:
            there, back = await inner()
            reader = _Reader(there)
            return reader, _Writer(back, reader, self._next)  # type: ignore[return-value]

        return reach

    def _next(self) -> Fate | None:
        self.seen += 1
        return self.fates.pop(0) if self.fates else None


@asynccontextmanager
async def faulty_commits(wanted: Settings) -> AsyncIterator[tuple[Settings, Commits]]:
    """The same database, with the fate of each COMMIT in the test's hands."""
    commits = Commits()
    async with engine.wire(wanted) as wire:
        wire._reach = commits.reach(wire._reach)
        yield engine.over(wire, wanted), commits
