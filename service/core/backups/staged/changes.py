"""Changes of tables (DDL). Each waits for a lock for a short time, and is tried several times."""

from __future__ import annotations

import asyncio

import sql
from service.core.backups.staged.definition import SQL
from service.core.database.retry import backoff
from service.core.database.statements import SQL as SESSION
from service.core.database.transactions import Database
from service.core.errors import (
    ContentionError,
    DatabaseError,
    SchemaChangedError,
    TableBusyError,
    UnavailableError,
)

LOCK_SECONDS = 60
"""How long a change is repeated. Between two attempts, the statements of others run."""
SWAP_SECONDS = 900
"""The same for the swap, before which a restore may have worked for hours."""
SECONDS = 6 * 3600
"""An index of a billion rows takes hours."""
PAUSE_SECONDS = 0.2
BUSY = (
    "A restore cannot change the table {name}, because a backup or another long transaction is "
    "reading it. The rows are as before. Try again when that has ended."
)

CHANGED = "Another statement changed the table {name} at the same time. Try again shortly."


async def change(
    database: Database, name: str, statement: str, seconds: float | None = None
) -> None:
    """Run a statement that changes a table; TableBusyError if others use the table for too long.

    UnavailableError if the table has changed since the statement was chosen.
    """
    clock = asyncio.get_running_loop().time
    end = clock() + (LOCK_SECONDS if seconds is None else seconds)
    attempt = 0
    while True:
        try:
            return await _execute(database, statement)
        except ContentionError as error:
            if clock() >= end:
                raise TableBusyError(BUSY.format(name=name)) from error
        except SchemaChangedError as error:
            # The statement of an attempt that lost its connection has ended only now.
            raise UnavailableError(CHANGED.format(name=name)) from error
        await asyncio.sleep(PAUSE_SECONDS + backoff(attempt))
        attempt += 1


async def _execute(database: Database, statement: str) -> None:
    async with database.session(SECONDS) as session:
        await session.execute(SQL["ddl_session"])
        try:
            await session.execute(statement)
        except DatabaseError:
            await session.execute(SESSION["session"])
            raise
        await session.execute(SESSION["session"])


async def drop(database: Database, name: str) -> None:
    """Drop a table, if it exists."""
    await change(database, name, sql.with_names(SQL["drop"], name=name))
