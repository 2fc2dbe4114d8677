"""Counts the rows that are added, by day, source and user. Writes never wait for it.

A process counts in memory. It adds its counts to the table every few seconds, and when it ends. The
table is nearly exact: a kill -9 loses the rows of the last seconds, and a COMMIT without an answer
may count them twice.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Literal

from msgspec import Struct

import sql
from service.core.database.replication.limits import Fetch
from service.core.database.transactions import Database
from service.core.tables import Table
from service.core.threads import wait_for_all

SQL = sql.statements("rows_by_day")
FLUSH_SECONDS = 3.0
TIMEOUT = 5.0
"""Seconds to add the counts. A process that ends does not wait longer for the database."""
Source = Literal["api", "console", "loader", "restore"]

log = logging.getLogger("hirebase.rows")


class RowsAdded(Struct, frozen=True):
    """How many rows one source has added to a table; user: "" if that is not known."""

    source: str
    user: str
    table: str
    added: int


class RowCounts:
    """The rows that this process has added, and that the table does not count yet."""

    def __init__(self, database: Database):
        self._database = database
        self._added: Counter[tuple[str, str, str, str]] = Counter()

    def add(self, source: Source, user: str, table: Table, rows: int) -> None:
        """Count rows that are committed; user: "" if that is not known."""
        if rows > 0:
            self._added[_today(), source, user[:255], table.name] += rows

    async def flush(self) -> None:
        """Add the counts to the table. If that fails, they stay for the next time."""
        counted, self._added = self._added, Counter()
        # In the order of the primary key, so that two processes do not wait for each other.
        rows = [(*key, counted[key]) for key in sorted(counted)]
        try:
            if rows:
                await self._database.run(
                    lambda transaction: transaction.insert(SQL["add"], rows), TIMEOUT
                )
        except BaseException:
            self._added.update(counted)
            raise

    async def flush_regularly(self) -> None:
        """Flush every FLUSH_SECONDS."""
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            await self.flush_or_warn()

    async def flush_or_warn(self) -> None:
        """Flush; an error is logged, because no write may fail for a count."""
        try:
            await self.flush()
        except Exception as error:  # no caller can do more about it than the log says
            log.warning("the rows of the last seconds are not counted yet: %s", error)


@asynccontextmanager
async def counting_rows(database: Database) -> AsyncIterator[RowCounts]:
    """Counts rows while the block runs, and once more at its end."""
    counts = RowCounts(database)
    flushing = asyncio.create_task(counts.flush_regularly())
    try:
        yield counts
    finally:
        flushing.cancel()
        await wait_for_all(flushing)
        await counts.flush_or_warn()


async def rows_of_today(fetch: Fetch) -> list[RowsAdded]:
    """The rows that were added today (UTC), most first."""
    return [RowsAdded(*row) for row in await fetch(SQL["of_day"], (_today(),))]


def _today() -> str:
    return datetime.now(UTC).date().isoformat()
