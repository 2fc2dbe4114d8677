"""What every cluster can do, whatever its engine is."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, ClassVar, Protocol, Self

import pymysql

from service.core.settings import Settings
from tests.support.processes import free_port

NODES = (1, 2, 3)
DATABASE, USER, PASSWORD = "hirebase", "hirebase", "hirebase-password"
READY_SECONDS = 300
AWAY = "away"
CONNECTIONS = f"SELECT COUNT(*) FROM information_schema.processlist WHERE user = '{USER}'"
EMPTY = (f"DROP DATABASE IF EXISTS {DATABASE}", f"CREATE DATABASE {DATABASE} CHARSET utf8mb4")
CREATE_USER = (
    f"CREATE USER {USER}@'%' IDENTIFIED BY '{PASSWORD}'",
    f"GRANT ALL ON {DATABASE}.* TO {USER}@'%'",
)


class Node(Protocol):
    """A server of a cluster. Its methods block until they are done."""

    @property
    def is_running(self) -> bool: ...
    def start(self) -> None: ...
    def stop(self) -> None: ...
    def kill(self) -> None: ...
    def pause(self) -> None: ...
    def unpause(self) -> None: ...
    def remove(self) -> None: ...


class Cluster(ABC):
    """Three nodes, with the numbers 1, 2 and 3."""

    NAME: ClassVar[str]
    STATE: ClassVar[str]
    """Asks a node for its state, like `ONLINE PRIMARY of 3`."""
    IN_SYNC: ClassVar[str]
    """The start of the state of a node that takes part."""

    def __init__(self, flags: tuple[str, ...] = ()):
        self.flags = flags
        self.ports = {n: free_port() for n in NODES}
        self.group_ports = {n: free_port() for n in NODES}
        self._nodes: dict[int, Node] = {}
        self._paused: set[int] = set()

    @classmethod
    @abstractmethod
    def missing(cls) -> str | None:
        """What this machine lacks to run such a cluster."""

    @classmethod
    @asynccontextmanager
    async def running(cls, flags: tuple[str, ...] = ()) -> AsyncIterator[Self]:
        """A new cluster; flags: more options of each server."""
        cluster = cls(flags)
        try:
            await cluster._form()
            yield cluster
        finally:
            await cluster.down()

    @property
    def settings(self) -> Settings:
        """Settings with all nodes, in the order of their numbers."""
        return Settings(
            mysql_host=",".join(map(self.address, NODES)),
            mysql_user=USER,
            mysql_password=PASSWORD,
            mysql_database=DATABASE,
        )

    def address(self, n: int) -> str:
        """The `host:port` of a node."""
        return f"127.0.0.1:{self.ports[n]}"

    async def sql(self, n: int, *statements: str, seconds: float = 10) -> list[tuple[Any, ...]]:
        """Run statements on a node as root; the rows of the last one."""
        return await asyncio.to_thread(self._sql, n, *statements, seconds=seconds)

    async def kill(self, n: int) -> None:
        """Kill a node with -9."""
        await asyncio.to_thread(self._nodes[n].kill)

    async def stop(self, n: int) -> None:
        """Shut a node down normally, and wait until it has ended."""
        await asyncio.to_thread(self._nodes[n].stop)

    async def start(self, n: int) -> None:
        """Start a node again, and wait until it takes part in the cluster."""
        await asyncio.to_thread(self._nodes[n].start)
        await self._join(n)

    async def pause(self, n: int) -> None:
        """Freeze a node: its connections stay open, and it answers nothing."""
        self._paused.add(n)
        await asyncio.to_thread(self._nodes[n].pause)

    async def unpause(self, n: int) -> None:
        """Let a frozen node continue."""
        await asyncio.to_thread(self._nodes[n].unpause)
        self._paused.discard(n)

    async def status(self) -> dict[int, str]:
        """What each node says of itself, like `ONLINE PRIMARY of 3`; `away` without an answer."""
        return dict(zip(NODES, await asyncio.gather(*map(self._state, NODES)), strict=True))

    async def wait_healthy(self, seconds: float = READY_SECONDS) -> None:
        """Wait until all nodes take part and are in sync."""
        for n in NODES:
            await self._until(n, self._is_complete, seconds)

    async def heal(self) -> None:
        """Unfreeze and start all nodes, and wait until they are in sync."""
        for n in sorted(self._paused):
            await self.unpause(n)
        await self._rejoin()
        for n in NODES:
            if not self._nodes[n].is_running:
                await self.start(n)
        await self.wait_healthy()

    async def empty(self) -> None:
        """Replace the database by one without tables."""
        await self.sql(await self.writer(), *EMPTY, seconds=60)

    async def down(self) -> None:
        """End and remove all nodes."""
        await asyncio.to_thread(self._remove)

    async def in_use(self) -> int:
        """The node with the most connections of services."""
        used = {n: await self._connections(n) for n in NODES}
        return max(used, key=lambda n: used[n])

    @abstractmethod
    async def writer(self) -> int:
        """A node that takes writes."""

    @abstractmethod
    async def _form(self) -> None:
        """Start the nodes for the first time, and create the database and its user."""

    @abstractmethod
    async def _join(self, n: int) -> None:
        """Let a node that has just started take part."""

    @abstractmethod
    async def _rejoin(self) -> None:
        """Let the running nodes take part that do not."""

    @abstractmethod
    def _root(self, n: int) -> dict[str, Any]:
        """Options of a connection as root."""

    def _remove(self) -> None:
        for node in self._nodes.values():
            node.remove()

    def _is_complete(self, state: str) -> bool:
        return state.startswith(self.IN_SYNC) and state.endswith(f" of {len(NODES)}")

    def _takes_part(self, state: str) -> bool:
        return state.startswith(self.IN_SYNC)

    def _sql(self, n: int, *statements: str, seconds: float) -> list[tuple[Any, ...]]:
        limits = dict.fromkeys(("connect_timeout", "read_timeout", "write_timeout"), seconds)
        options = self._root(n) | limits | {"autocommit": True}
        with pymysql.connect(**options) as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return list(cursor.fetchall())

    async def _state(self, n: int) -> str:
        with suppress(pymysql.Error):
            return "".join(state for (state,) in await self.sql(n, self.STATE, seconds=1))
        return AWAY

    async def _connections(self, n: int) -> int:
        ((number,),) = await self.sql(n, CONNECTIONS)
        return int(number)

    async def _until(
        self, n: int, condition: Callable[[str], bool], seconds: float = READY_SECONDS
    ) -> None:
        """Wait until the state of a node meets the condition."""
        end = time.monotonic() + seconds
        while not condition(state := await self._state(n)):
            if time.monotonic() > end:
                raise TimeoutError(f"{self.NAME}: node {n} is {state!r} after {seconds} s")
            await asyncio.sleep(0.1)
