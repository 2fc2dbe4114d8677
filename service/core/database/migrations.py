"""Migrations: numbered files of SQL, each applied once and recorded.

Whoever holds the lock row migrates; others wait. Every statement may be run again, so a crash
between a statement and its record does no harm.
"""

from __future__ import annotations

from contextlib import suppress

import sql
from service.core.database.transactions import SQL, Database, Transaction
from service.core.errors import ContentionError, DuplicateIndexError, MissingTableError

WAIT_SECONDS = 300


async def migrate(database: Database) -> list[str]:
    """Apply what is not yet applied; the names of what was."""
    await database.run(_prepare, WAIT_SECONDS)
    return await database.run(lambda lock: _apply_pending(database, lock), WAIT_SECONDS)


async def _prepare(transaction: Transaction) -> None:
    try:
        await transaction.execute(SQL["seed_migrations"])
    except MissingTableError as error:
        # Not always: once in a while seekdb starts again and does no DDL at all.
        await transaction.execute(SQL["create_migrations"])
        # Nor is it at once that seekdb sees what another has just made.
        raise ContentionError("The table of migrations is there now.") from error


async def _apply_pending(database: Database, lock: Transaction) -> list[str]:
    await lock.fetch(SQL["lock_migrations"])
    applied = {version for (version,) in await database.fetch(SQL["applied_migrations"])}
    pending = [migration for migration in sql.migrations() if migration[0] not in applied]
    for version, name, statements in pending:
        await _apply(database, version, name, statements)
    return [f"{version:04} {name}" for version, name, _ in pending]


async def _apply(database: Database, version: int, name: str, statements: tuple[str, ...]) -> None:
    # On a connection of its own: DDL commits, and would let go of the lock row.
    async with database.transaction(WAIT_SECONDS) as transaction:
        for statement in statements:
            # A crash may have come after CREATE INDEX, which cannot say IF NOT EXISTS everywhere.
            with suppress(DuplicateIndexError):
                await transaction.execute(statement)
        await transaction.execute(SQL["record_migration"], (version, name))
