"""A proxy that fails in a chosen way when a request is committed: rows, or a look for its key."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Literal

from service.core.settings import Settings
from tests.support import engine
from tests.support.tcp_proxy import Reach, Streams

Fault = Literal[
    "committed", "lost", "late", "deadlock", "read_only", "left_group", "unanswered", "stalled"
]
"""What happens to a COMMIT:

- committed: the server commits, then the connection ends before the reply.
- lost: the connection ends before the COMMIT reaches the server.
- late: the connection to the client ends, and the server gets the COMMIT a second later.
- deadlock: the reply is error 1213, as Galera and group replication may send.
- read_only: the reply is error 1290, because the server became a replica.
- left_group: the reply is error 3100, because the server left its group. Others may have the rows.
- unanswered: the server commits, but the client gets no reply.
- stalled: the COMMIT does not reach the server, which keeps its locks, and nothing answers.
"""

OF_REQUESTS = (b"INSERT INTO", b"FROM idempotency_keys WHERE digest")
"""Statements of requests. A repeated attempt may find the key, on another connection."""

LATE_SECONDS = 1.0
STALLED_SECONDS = 4.0
REFUSALS = {
    "deadlock": (1213, b"40001"),
    "read_only": (1290, b"HY000"),
    "left_group": (3100, b"HY000"),
}


def _error(number: int, state: bytes) -> bytes:
    """A reply of the server that is an error."""
    error = b"\xff" + number.to_bytes(2, "little") + b"#" + state + b"refused"
    return len(error).to_bytes(3, "little") + b"\x01" + error


class _Reader(asyncio.StreamReader):
    """Passes on the bytes from the server until it must stop."""

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
    """Passes on the bytes to the server, and applies a fault to each COMMIT of a request."""

    def __init__(self, sink: asyncio.StreamWriter, reader: _Reader, commits: Commits):
        self._sink = sink
        self._reader = reader
        self._commits = commits
        self._counts = self._held = False
        self.transport = sink.transport

    def write(self, data: bytes) -> None:
        self._counts |= any(text in data for text in self._commits.texts)
        is_commit = b"\x03COMMIT" in data
        fault = self._commits.next() if self._counts and is_commit else None
        self._counts &= not is_commit  # the next transaction on the connection may be another's
        if fault is None:
            self._sink.write(data)
        elif fault == "committed":
            self._reader.ending = True
            self._sink.write(data)
        elif fault == "unanswered":
            self._reader.silent = True
            self._sink.write(data)
        elif fault == "stalled":
            self._held = True
            asyncio.get_running_loop().call_later(STALLED_SECONDS, self._sink.close)
        elif fault in REFUSALS:
            self._reader.feed_data(_error(*REFUSALS[fault]))
        else:
            self._held = fault == "late"
            self._reader.feed_eof()
            if self._held:
                asyncio.get_running_loop().call_later(LATE_SECONDS, self._send_late, data)

    async def drain(self) -> None:
        await self._sink.drain()

    def close(self) -> None:
        if not self._held:
            self._sink.close()

    def _send_late(self, data: bytes) -> None:
        self._sink.write(data)
        self._sink.close()


class Commits:
    """The faults of the next COMMITs, in order; None: no fault. Later COMMITs are normal.

    texts: those in a statement of the transactions that count.
    """

    def __init__(self) -> None:
        self.faults: list[Fault | None] = []
        self.texts: Sequence[bytes] = OF_REQUESTS

    def reach(self, inner: Reach) -> Reach:
        """A connection to the server on which the faults happen."""

        async def reach() -> Streams:
            there, back = await inner()
            reader = _Reader(there)
            return reader, _Writer(back, reader, self)  # type: ignore[return-value]

        return reach

    def next(self) -> Fault | None:
        return self.faults.pop(0) if self.faults else None


@asynccontextmanager
async def faulty_commits(settings: Settings) -> AsyncIterator[tuple[Settings, Commits]]:
    """Settings of the same database through the proxy, and the faults to set."""
    commits = Commits()
    async with engine.proxy(settings) as proxy:
        proxy._reach = commits.reach(proxy._reach)
        yield engine.through(proxy, settings), commits
