"""A pool of connections that serves waiters in order."""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from collections.abc import Callable
from typing import Any

import aiomysql
import pymysql

from service.core.database.driver import UNREACHABLE, Connection, Server
from service.core.database.servers.failover import Servers
from service.core.threads import wait_for_all

RECYCLE_SECONDS = 3600
"""The pool closes connections that were idle for longer, because proxies may have dropped them."""


# aiomysql has no type annotations.
class Pool(aiomysql.pool.Pool):  # type: ignore[misc]
    """aiomysql's pool with a queue of waiters in place of a lock.

    A waiter gets the first connection that is released or opened. Tasks of the pool open
    connections, so neither a slow server nor a cancelled waiter affects other waiters.

    on_unreachable: called when no server accepts connections.
    """

    def __init__(
        self,
        size: int,
        servers: Servers,
        on_unreachable: Callable[[], None] = lambda: None,
        **options: Any,
    ):
        super().__init__(
            minsize=0,
            maxsize=size,
            echo=False,
            pool_recycle=RECYCLE_SECONDS,
            loop=asyncio.get_running_loop(),
            **options,
        )
        self.servers = servers
        servers.add(self)
        self._on_unreachable = on_unreachable
        self._waiters: deque[asyncio.Future[Connection]] = deque()
        self._opening: set[asyncio.Task[Connection]] = set()

    @property
    def closing(self) -> bool:
        """Whether the pool gives out no more connections."""
        return bool(self._closing)

    @property
    def waiting(self) -> int:
        """The number of waiters."""
        return len(self._waiters)

    @property
    def size(self) -> int:
        """The number of connections that are idle, in use or being opened."""
        return len(self._free) + len(self._used) + len(self._opening)

    async def acquire(self) -> Connection:
        """A connection; `release` it."""
        if self._closing:
            raise pymysql.InterfaceError(0, "the pool is closed")
        if connection := self.take_idle():
            return connection
        waiter: asyncio.Future[Connection] = self._loop.create_future()
        self._waiters.append(waiter)
        self._serve()
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and not waiter.exception():
                self.release(waiter.result())
            raise
        finally:
            if waiter in self._waiters:
                self._waiters.remove(waiter)

    def release(self, connection: Connection) -> None:
        """Return a connection; it is closed if it is in a transaction or cannot be used again."""
        self._used.remove(connection)
        if not connection.closed:
            in_transaction = connection.get_transaction_status()
            if self._closing or in_transaction or not self._is_usable(connection):
                connection.close()
            elif connection.commits_each:
                self._free.appendleft(connection)
            else:
                self._free.append(connection)
        self._serve()

    def sibling(self, size: int) -> Pool:
        """Another pool to the same servers."""
        return Pool(size, self.servers, self._on_unreachable, **self._conn_kwargs)

    def uses(self, server: Server) -> bool:
        """Whether a connection to this server is open."""
        connections = (*self._free, *self._used)
        return any(one.server is server and one.is_open for one in connections)

    def leave(self, server: Server, *, in_use: bool) -> None:
        """Close the idle connections to this server; in_use: and those in use."""
        others = [one for one in self._free if one.server is not server]
        for connection in {*self._free, *(self._used if in_use else ())}:
            if connection.server is server:
                connection.close()
        self._free.clear()
        self._free.extend(others)

    def close_free(self) -> None:
        """Close the idle connections."""
        while self._free:
            self._free.popleft().close()

    def terminate(self) -> None:
        """Close all connections, also those in use; waiters get an error."""
        self.close()
        self.close_free()
        for connection in self._used:
            connection.close()
        for task in self._opening:
            task.cancel()
        while self._waiters:
            self._fail(pymysql.InterfaceError(0, "the pool is closed"))

    async def wait_closed(self) -> None:
        """Wait until no connection is being opened."""
        await wait_for_all(*self._opening)

    def take_idle(self, *, autocommit: bool = True) -> Connection | None:
        """An idle connection or None; if possible one that has this mode. `release` it."""
        while self._free:
            # Those with autocommit are on the left.
            connection: Connection = self._free.popleft() if autocommit else self._free.pop()
            if self._is_usable(connection):
                self._used.add(connection)
                return connection
            connection.close()
        return None

    def _is_usable(self, connection: Connection) -> bool:
        is_current = connection.server is self.servers.current
        return is_current and connection.is_usable(self._recycle)

    def _serve(self) -> None:
        """Give idle connections to waiters, and open connections for the others."""
        while self._waiters:
            if self._waiters[0].done():  # cancelled, but its task has not run since
                self._waiters.popleft()
            elif connection := self.take_idle():
                self._waiters.popleft().set_result(connection)
            else:
                break
        missing = len(self._waiters) - len(self._opening)
        for _ in range(min(missing, self.maxsize - self.size)):
            # An empty context, because the next user of the connection may be another request.
            opening = self._loop.create_task(
                self.servers.open(**self._conn_kwargs), context=contextvars.Context()
            )
            self._opening.add(opening)
            opening.add_done_callback(self._opened)

    def _opened(self, opening: asyncio.Task[Connection]) -> None:
        self._opening.remove(opening)
        if opening.cancelled():
            return
        error = opening.exception()
        if error is None:
            self._used.add(opening.result())
            self.release(opening.result())
            return
        if isinstance(error, pymysql.OperationalError) and error.args[0] == UNREACHABLE:
            self._on_unreachable()
        self._fail(error)
        self._serve()

    def _fail(self, error: BaseException) -> None:
        """Raise an error in the first waiter."""
        if self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_exception(error)
