"""A TCP proxy on loopback that can fail as a network does: cut, stalled, slow, refusing."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Reach = Callable[[], Awaitable[Streams]]

KEPT = 1 << 16


class Proxy:
    """Forwards bytes in both directions.

    accepted: the number of connections that it accepted; sent: the first bytes from clients; delay:
    the seconds before it forwards a piece; refusing: it ends new connections immediately.
    """

    def __init__(self, reach: Reach):
        self._reach = reach
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0
        self.refusing = False
        self.delay = 0.0
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._stall_at: tuple[bytes, bool] | None = None
        self.accepted = 0
        self.sent = bytearray()

    @classmethod
    @asynccontextmanager
    async def to(cls, reach: Reach) -> AsyncIterator[Proxy]:
        """A proxy to the server that `reach` connects to."""
        proxy = cls(reach)
        server = await asyncio.start_server(proxy.accept, "127.0.0.1", 0)
        proxy.port = server.sockets[0].getsockname()[1]
        try:
            yield proxy
        finally:
            server.close()
            proxy.cut()
            proxy.flow()
            await asyncio.gather(*proxy._tasks)

    def cut(self) -> None:
        """End all connections now, as a pulled cable does. New ones still work."""
        for writer in list(self._open):
            writer.transport.abort()

    def stall(self) -> None:
        """Hold back all bytes in both directions. None is lost."""
        self._flowing.clear()

    def stall_at(self, said: bytes, *, heard: bool) -> None:
        """Stall when a client sends these bytes. heard: the server still gets them."""
        self._stall_at = said, heard

    def flow(self) -> None:
        """Forward the held bytes and continue."""
        self._flowing.set()

    @property
    def stalled(self) -> bool:
        return not self._flowing.is_set()

    @property
    def connections(self) -> int:
        """The number of connections that clients have open."""
        return len(self._open) // 2

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Forward a connection, or end it if the proxy refuses connections."""
        if self.refusing:
            writer.transport.abort()
            return
        self.accepted += 1
        try:
            there, back = await self._reach()
        except OSError:
            writer.transport.abort()
            return
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
                if noted is not None and len(noted) < KEPT:
                    noted += data
                heard = self._take_stall(data)
                await asyncio.sleep(self.delay)
                if not heard:
                    await self._flowing.wait()
                sink.write(data)
                await sink.drain()
        sink.close()
        self._open.discard(sink)

    def _take_stall(self, data: bytes) -> bool:
        """Stall if these bytes are the trigger; whether they are forwarded anyway."""
        if self._stall_at is None or self._stall_at[0] not in data:
            return False
        heard = self._stall_at[1]
        self._stall_at = None
        self.stall()
        return heard


@contextmanager
def swallowing() -> Iterator[int]:
    """The port of a machine that drops packets: no connection to it is ever made or refused."""
    with ExitStack() as stack:
        full = stack.enter_context(socket.socket())
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        # The kernel drops what arrives when the queue of connections is full.
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            with suppress(BlockingIOError):
                waiting.connect(full.getsockname())
        yield full.getsockname()[1]


async def mute(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A server that accepts connections and never answers."""
    with suppress(asyncio.CancelledError):
        await asyncio.sleep(60)
    writer.close()


async def babble(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A server that speaks another protocol."""
    writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
    writer.close()
