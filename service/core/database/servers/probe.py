"""Asks a server whether it answers and takes writes, on a separate connection.

TCP cannot tell: a kernel acknowledges data for a server that is frozen.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pymysql

from service.core.database.driver import SQL, Connection, Server

SILENT_SECONDS = 4
"""A server that does not answer for so long is silent."""


class _Connection(Connection):
    """A connection whose statements never wait for other servers."""

    async def _set_up(self) -> None:
        if "MariaDB" in await self.check():
            async with self.cursor() as cursor:
                await cursor.execute(SQL["mariadb_probe"])


class Probe:
    """Questions to one server, on one connection; options: as for a Connection."""

    def __init__(self, server: Server, options: dict[str, Any]):
        self._server = server
        self._options = options
        self._connection: _Connection | None = None

    async def ask(self) -> Exception | None:
        """TimeoutError if the server is silent; the driver's error if it refuses; else None."""
        asking = asyncio.create_task(self._check())
        try:
            if await _is_silent(asking):
                return TimeoutError("it does not answer")
            return asking.result()
        finally:
            asking.cancel()

    def close(self) -> None:
        """Close the connection."""
        if self._connection:
            self._connection.close()

    async def _check(self) -> Exception | None:
        try:
            if self._connection and self._connection.is_open:
                await self._connection.check()
            else:
                self.close()
                self._connection = _Connection(self._server, **self._options)
                await self._connection.open()
        except (pymysql.MySQLError, OSError, RuntimeError) as error:
            return error
        return None


async def _is_silent(asking: asyncio.Task[Any]) -> bool:
    """Whether no answer arrives.

    A second counts only if this process ran on time. After a stall, an answer may have arrived
    that nobody has read.
    """
    silence, clock = 0, asyncio.get_running_loop().time
    while silence < SILENT_SECONDS:
        began = clock()
        await asyncio.wait([asking], timeout=1)
        if asking.done():
            return False
        if clock() - began < 1.5:
            silence += 1
    return True
