"""The guard of a table that is being restored: its writers get an error that says so."""

from __future__ import annotations

from collections.abc import Iterable

import sql
from service.core.backups.staged.changes import change
from service.core.backups.staged.definition import SQL
from service.core.database.transactions import Database


async def guarded(database: Database) -> set[str]:
    """The names of the tables that have a guard."""
    return {name for (name,) in await database.fetch(SQL["guarded"])}


async def add_guards(database: Database, names: Iterable[str]) -> None:
    """Guard tables; TableBusyError if others use one for too long."""
    present = await guarded(database)
    for name in names:
        if name not in present:
            await change(database, name, sql.with_names(SQL["add_guard"], name=name))


async def remove_guards(database: Database, names: Iterable[str]) -> None:
    """Remove the guards of tables that have one."""
    present = await guarded(database)
    for name in names:
        if name in present:
            await change(database, name, sql.with_names(SQL["remove_guard"], name=name))
