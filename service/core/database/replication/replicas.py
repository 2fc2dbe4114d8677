"""Replicas for long reads: the servers of MYSQL_READ_HOST."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager

from service.core.database.connect import close_pool, open_pool
from service.core.database.replication.positions import Position, position_of, why_behind
from service.core.database.servers.addresses import format_address
from service.core.database.transactions import Database
from service.core.errors import DatabaseError
from service.core.settings import Settings

ANSWER_SECONDS = 3
"""The longest time that a replica may take to answer."""
CATCH_UP_SECONDS = 5
"""The longest wait for a replica that answers, but does not show the last rows yet."""
AVOID_SECONDS = 30
"""How long a replica that was behind or away is left alone."""

log = logging.getLogger("hirebase.replicas")


class Replicas:
    """Servers for reads that decide about no write: backups, reports and lists as files.

    Each has a pool. Without one that is usable, the writer is read.
    """

    def __init__(self, writer: Database, replicas: Mapping[str, Database]):
        self.writer = writer
        self.replicas = list(replicas.values())
        self._names = list(replicas)
        self._avoided: dict[str, float] = {}

    async def current(self) -> Database:
        """The first replica that shows everything that was committed before this call.

        The writer if no replica does; UnavailableError if the writer does not answer.
        """
        if not self.replicas:
            return self.writer
        position = await position_of(self.writer.fetch)
        for name, replica in self.named():
            if time.monotonic() >= self._avoided.get(name, 0):
                if await self._is_usable(name, replica, position):
                    return replica
                self._avoided[name] = time.monotonic() + AVOID_SECONDS
        return self.writer

    def named(self) -> Iterable[tuple[str, Database]]:
        """(address, database) of each replica."""
        return zip(self._names, self.replicas, strict=True)

    def snapshot_age(self) -> float:
        """The age of the oldest open snapshot on any server in seconds; 0 without one."""
        return max(database.snapshot_age() for database in (self.writer, *self.replicas))

    async def _is_usable(self, name: str, replica: Database, position: Position) -> bool:
        try:
            async with replica.session(ANSWER_SECONDS) as session:
                own = await position_of(session.fetch)
            if own.server and own.server == position.server:
                return False
            async with replica.session(CATCH_UP_SECONDS + ANSWER_SECONDS) as session:
                reason = await why_behind(session.fetch, position, CATCH_UP_SECONDS)
        except DatabaseError as error:
            reason = str(error.__cause__) or str(error)
            replica.pool.close_free()
        if reason:
            log.warning(
                "reading from the next server or the writer: %s of MYSQL_READ_HOST is not used "
                "for %d s: %s",
                *(name, AVOID_SECONDS, reason),
            )
        return reason is None


@asynccontextmanager
async def replicas(settings: Settings, writer: Database) -> AsyncIterator[Replicas]:
    """The servers of MYSQL_READ_HOST. They are connected when they are used."""
    pools = {
        format_address(*server): open_pool(settings, [server], read_only=True)
        for server in settings.read_servers
    }
    try:
        databases = {name: Database(pool, settings.mysql_timeout) for name, pool in pools.items()}
        yield Replicas(writer, databases)
    finally:
        for pool in pools.values():
            await close_pool(pool)
