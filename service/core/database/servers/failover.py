"""Chooses the server of new connections, and leaves a server that is silent or takes no writes."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections import deque
from collections.abc import Sequence
from typing import Any, Protocol
from weakref import WeakSet

from service.core.database.driver import LOST, Connection, Server
from service.core.database.servers.probe import Probe
from service.core.database.servers.writability import OUTSIDE, READ_ONLY
from service.core.threads import wait_for_all

log = logging.getLogger("hirebase.database")

HEAD_START_SECONDS = 1.0
"""A server that has given no connection by then competes with the next one."""
LAST_SECONDS = 60
"""A server that was silent is the last choice for so long."""
PROBE_SECONDS = 1.0
"""The pause between two questions to a server."""


class Connections(Protocol):
    """A pool that takes part in failovers."""

    def uses(self, server: Server) -> bool:
        """Whether the pool has a connection to this server."""

    def leave(self, server: Server, *, in_use: bool) -> None:
        """Close the idle connections to this server, and those in use if `in_use`."""


class Servers:
    """The servers of a database, preferred ones first. The pools of a process share one object.

    `current` is the server of the newest connection. The pools give out no connection to another
    server, so that a process reads what it wrote, and writes conflict with few others.
    """

    def __init__(self, addresses: Sequence[dict[str, Any]]):
        self.current: Server | None = None
        self._servers = [Server(address) for address in addresses]
        self._pools: WeakSet[Connections] = WeakSet()
        self._probes: dict[Server, asyncio.Task[None]] = {}

    def add(self, pool: Connections) -> None:
        """Take part in failovers: the pool leaves a server that fails."""
        self._pools.add(pool)

    async def open(self, **options: Any) -> Connection:
        """Connect to the first server that takes writes; if none does, the last server's error."""
        connection = await self._race(options)
        server = self.current = connection.server
        server.silent_until = 0
        self._start_probe(server, options)
        return connection

    async def close(self) -> None:
        """End the probes."""
        for probe in self._probes.values():
            probe.cancel()
        await wait_for_all(*self._probes.values())

    async def _race(self, options: dict[str, Any]) -> Connection:
        """Try the servers in order; each has a head start before the next one is tried as well."""
        waiting = deque(sorted(self._servers, key=_is_silent))
        opening: dict[asyncio.Task[Connection], Server] = {}
        errors: list[BaseException] = []
        try:
            while waiting or opening:
                if waiting:
                    server = waiting.popleft()
                    opening[asyncio.create_task(_open(server, options))] = server
                done, _ = await asyncio.wait(
                    opening, timeout=HEAD_START_SECONDS, return_when=asyncio.FIRST_COMPLETED
                )
                for task in done:
                    del opening[task]
                    error = task.exception()
                    if error is None:
                        return task.result()
                    errors.append(error)
                # Once another has answered, a silent server gets no more than a head start.
                if errors and not waiting and all(map(_is_silent, opening.values())):
                    break
            raise errors[-1]
        finally:
            for task in opening:
                _discard(task)

    def _start_probe(self, server: Server, options: dict[str, Any]) -> None:
        """Probe the server while it is used, but not the embedded one, which stalls in merges."""
        running = self._probes.get(server)
        if "unix_socket" not in server.address and (running is None or running.done()):
            # An empty context, because the probe belongs to no request.
            self._probes[server] = asyncio.create_task(
                self._probe(server, options), context=contextvars.Context()
            )

    async def _probe(self, server: Server, options: dict[str, Any]) -> None:
        probe = Probe(server, options)
        try:
            while True:
                await asyncio.sleep(PROBE_SECONDS)
                if not any(pool.uses(server) for pool in self._pools):
                    break
                if error := await probe.ask():
                    self._leave(server, error)
        finally:
            probe.close()

    def _leave(self, server: Server, error: Exception) -> None:
        """Close connections: all if nothing can be expected of the server, else the idle ones."""
        is_silent, number = isinstance(error, TimeoutError), _number(error)
        if is_silent:
            _prefer_others(server)
        elif number not in (OUTSIDE, READ_ONLY):
            return  # It answers, but refuses the probe: too many connections, for example.
        if self.current is server:
            self.current = None
            log.warning("leaving the database server %s: %s", server, error.args[-1])
        for pool in self._pools:
            pool.leave(server, in_use=is_silent or number == OUTSIDE)


async def _open(server: Server, options: dict[str, Any]) -> Connection:
    clock = asyncio.get_running_loop().time
    began = clock()
    try:
        connection = Connection(server, **options)
        await connection.open()
    except BaseException as error:
        is_late = clock() - began >= HEAD_START_SECONDS
        # Another server was faster, or the time is over.
        if is_late and (isinstance(error, asyncio.CancelledError) or _number(error) == LOST):
            _prefer_others(server)
        raise
    return connection


def _number(error: BaseException) -> Any:
    """The number of an error of the driver."""
    return error.args[0] if error.args else None


def _is_silent(server: Server) -> bool:
    return server.silent_until > asyncio.get_running_loop().time()


def _prefer_others(server: Server) -> None:
    server.silent_until = asyncio.get_running_loop().time() + LAST_SECONDS


def _discard(opening: asyncio.Task[Connection]) -> None:
    """Cancel; if the connection is open already, close it."""
    opening.cancel()
    opening.add_done_callback(_close)


def _close(opened: asyncio.Task[Connection]) -> None:
    if not opened.cancelled() and opened.exception() is None:
        opened.result().close()
