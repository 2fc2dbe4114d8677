"""Migrations: numbered SQL files; each is applied once and recorded.

The process that holds the lock row migrates; other processes wait. Every statement is repeatable,
so a crash before the migration is recorded does no harm. Nor does a second process on another node
of Galera, which does not know the locks of other nodes.
"""

from __future__ import annotations

from contextlib import suppress

import sql
from service.core.database.replication.limits import Fetch
from service.core.database.statements import SQL, Transaction
from service.core.database.transactions import Database
from service.core.errors import (
    ContentionError,
    MissingTableError,
    NewerSchemaError,
    SchemaChangedError,
)

WAIT_SECONDS = 300


async def migrate(database: Database) -> list[str]:
    """Apply the pending migrations and return their names; NewerSchemaError."""
    await applied_migrations(database.fetch)
    await database.run(_prepare, WAIT_SECONDS, idempotent=True)
    # Of all attempts: one that waits too long for a table has applied the migrations before it.
    names: dict[str, None] = {}
    await database.run(
        lambda lock: _apply_pending(database, lock, names), WAIT_SECONDS, idempotent=True
    )
    return list(names)


async def applied_migrations(fetch: Fetch) -> set[int]:
    """The versions of the applied migrations; NewerSchemaError if one is unknown."""
    try:
        applied = {version for (version,) in await fetch(SQL["applied_migrations"])}
    except MissingTableError:
        return set()
    known = {version for version, _, _ in sql.migrations()}
    if unknown := applied - known:
        raise NewerSchemaError(max(unknown), max(known))
    return applied


async def _prepare(transaction: Transaction) -> None:
    try:
        await transaction.execute(SQL["seed_migrations"])
        await transaction.execute(SQL["seed_restores"])
    except MissingTableError as error:
        # Only if needed, because a restarted seekdb sometimes executes no DDL.
        await transaction.execute(SQL["create_migrations"])
        # Repeat, because seekdb does not see a new table immediately.
        raise ContentionError("The table of migrations was just created.") from error


async def _apply_pending(database: Database, lock: Transaction, names: dict[str, None]) -> None:
    await lock.fetch(SQL["lock_migrations"])
    applied = await applied_migrations(database.fetch)
    pending = [migration for migration in sql.migrations() if migration[0] not in applied]
    for version, name, statements in pending:
        names[f"{version:04} {name}"] = None
        await _apply(database, version, name, statements)


async def _apply(database: Database, version: int, name: str, statements: tuple[str, ...]) -> None:
    # On a separate connection: DDL commits, which would release the lock row.
    async with database.transaction(WAIT_SECONDS) as transaction:
        for statement in statements:
            # Not every server has CREATE INDEX IF NOT EXISTS, and a crash may repeat the statement.
            with suppress(SchemaChangedError):
                await transaction.execute(statement)
        await transaction.execute(SQL["record_migration"], (version, name))
