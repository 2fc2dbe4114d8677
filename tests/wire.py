"""A loopback port in front of a server: what goes wrong on a network, at will."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Reach = Callable[[], Awaitable[Streams]]


KEPT = 1 << 16


class Wire:
    """Forwards bytes both ways, until it is cut.

    taken: the connections it led on; sent: the first that clients said.
    """

    def __init__(self, reach: Reach):
        self._reach = reach
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0
        self.refusing = False
        self.taken = 0
        self.sent = bytearray()

    @classmethod
    @asynccontextmanager
    async def to(cls, reach: Reach) -> AsyncIterator[Wire]:
        """A wire to where `reach` connects."""
        wire = cls(reach)
        server = await asyncio.start_server(wire.accept, "127.0.0.1", 0)
        wire.port = server.sockets[0].getsockname()[1]
        try:
            yield wire
        finally:
            server.close()
            wire.cut()
            await asyncio.gather(*wire._tasks)

    def cut(self) -> None:
        """Every connection ends at once, as if a cable was pulled; new ones are taken."""
        for writer in list(self._open):
            writer.transport.abort()

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Lead a connection on, or end it where the wire refuses."""
        if self.refusing:
            writer.transport.abort()
            return
        self.taken += 1
        there, back = await self._reach()
        for source, sink, noted in ((reader, back, self.sent), (there, writer, None)):
            task = asyncio.create_task(self._forward(source, sink, noted))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _forward(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, noted: bytearray | None
    ) -> None:
        self._open.add(sink)
        with suppress(OSError):
            while data := await source.read(1 << 16):
                sink.write(data)
                if noted is not None and len(noted) < KEPT:
                    noted += data
                await sink.drain()
        sink.close()
        self._open.discard(sink)


async def mute(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A server that takes connections and never says a word."""
    with suppress(asyncio.CancelledError):
        await asyncio.sleep(60)
    writer.close()


async def babble(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A server of another protocol."""
    writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
    writer.close()
