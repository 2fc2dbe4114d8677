"""Removes what a killed restore left: guards at once, staging tables when they are old."""

from __future__ import annotations

from contextlib import suppress

from msgspec import Struct

from service.core.backups.staged.changes import drop
from service.core.backups.staged.definition import SQL
from service.core.backups.staged.guard import remove_guards
from service.core.backups.staged.lock import unless_held
from service.core.backups.staged.staging import DIGITS, Staging, rename_keys, table_of
from service.core.database.transactions import Database
from service.core.errors import ContentionError
from service.core.tables import TABLES

NAMES = [table.name for table in TABLES]


class _Found(Struct, frozen=True):
    """What earlier restores left.

    staged, old: staging tables, and those of them that are old; replaced: tables that a swap left;
    renamed: tables whose foreign keys have temporary names. Children come before parents.
    """

    guarded: list[str]
    staged: list[Staging]
    old: list[Staging]
    replaced: list[Staging]
    renamed: list[str]


async def tidy(database: Database) -> None:
    """Remove what a killed restore left, unless a restore is running.

    The staging tables stay for a day: the same restore continues there.
    """
    found = await _find(database)
    if found.guarded or found.old or found.replaced or found.renamed:
        with suppress(ContentionError):  # a restore is running
            await unless_held(database, lambda: _tidy(database))


async def clear(database: Database, key: str) -> None:
    """Remove all that other restores left, under the lock; key: of the restore that has it."""
    found = await finish(database)
    for staging in found.staged:
        if staging.key != key[:DIGITS]:
            await staging.discard()


async def finish(database: Database) -> _Found:
    """Complete swaps, under the lock: drop the tables that were replaced, give keys their names."""
    found = await _find(database)
    for staging in found.replaced:
        await staging.forget()
        await drop(database, staging.replaced)
    for name in found.renamed:
        await rename_keys(database, name)
    return found


async def _tidy(database: Database) -> None:
    found = await finish(database)
    await remove_guards(database, found.guarded)
    for staging in found.old:
        await staging.discard()


async def _find(database: Database) -> _Found:
    found = _Found([], [], [], [], [])
    for kind, name, is_old in await database.fetch(SQL["leftovers"]):
        if kind == "guard":
            found.guarded.append(name)
        elif kind == "key":
            found.renamed.append(name)
        elif named := table_of(name):
            key, table = named
            staging = Staging(database, table, key)
            if name == staging.replaced:
                found.replaced.append(staging)
            else:
                found.staged.append(staging)
                found.old.extend([staging] * is_old)
    for stagings in (found.staged, found.old, found.replaced):
        stagings.sort(key=lambda one: -TABLES.index(one.table))
    return found
