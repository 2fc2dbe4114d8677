"""Checks the tables: migrations, engines, character sets, and the limits on a transaction."""

from __future__ import annotations

from collections.abc import AsyncIterator

import sql
from service.cli.doctor.findings import Finding, error, ok, size, warning
from service.cli.doctor.privileges import privileges
from service.cli.doctor.servers import SQL, Reached
from service.core.backups.staged.definition import SQL as RESTORE_SQL
from service.core.database.connect import NO_GRANT
from service.core.database.migrations import applied_migrations
from service.core.database.pending import created_tables
from service.core.database.replication.limits import TransactionLimits, limits_of
from service.core.database.statements import SQL as DATABASE_SQL
from service.core.errors import DatabaseError, NewerSchemaError, UnavailableError
from service.core.settings import Settings

CHARSET, COLLATION = "utf8mb4", "utf8mb4_bin"
BATCH_ROWS, BATCH_BYTES = 1000, 2 << 20
"""The most rows of a batch, and the most bytes that they have."""
MIGRATE = (
    "Run: hirebase migrate. The service does it too when it starts. With --check, it only lists "
    "what it would do."
)


async def table_checks(settings: Settings, server: Reached) -> AsyncIterator[Finding]:
    """Check what all servers share, on one that takes writes."""
    yield await privileges(settings, server, created_tables())
    if finding := await _group(server):
        yield finding
    migrations = await _migrations(server)
    yield migrations
    if migrations.status == "ok":
        yield await _tables(server)
    yield await _restores(server)
    yield await _charset(settings, server)
    yield await _limits(settings, server)


async def _migrations(server: Reached) -> Finding:
    try:
        applied = await applied_migrations(server.fetch)
    except NewerSchemaError as problem:
        return error("migrations", str(problem), "Or install the newer version here.")
    known = {version: f"{version:04} {name}" for version, name, _ in sql.migrations()}
    pending = [name for version, name in known.items() if version not in applied]
    if pending:
        return error("migrations", f"{len(pending)} pending: {', '.join(pending)}", MIGRATE)
    return ok("migrations", f"all {len(known)} applied")


async def _tables(server: Reached) -> Finding:
    engines: dict[str, str] = dict(await server.fetch(SQL["tables"]))
    tables = created_tables()
    if missing := sorted(tables - set(engines)):
        remedy = "Restore the database from a backup of the server: hirebase made these tables."
        return error("tables", f"missing: {', '.join(missing)}", remedy)
    odd = sorted(name for name in tables if engines[name] != "InnoDB")
    if odd:
        remedy = f"As an administrator: ALTER TABLE `{odd[0]}` ENGINE = InnoDB"
        return error("tables", f"no transactions: {', '.join(odd)} are not InnoDB", remedy)
    return ok("tables", f"all {len(tables)} are there")


async def _restores(server: Reached) -> Finding:
    guarded = sorted(name for (name,) in await server.fetch(RESTORE_SQL["guarded"]))
    if guarded:
        text = f"A restore keeps writers away from {', '.join(guarded)}."
        remedy = "Wait for it. If none runs, start the service: it removes what a killed one left."
        return warning("restores", text, remedy)
    return ok("restores", "none keeps writers away")


async def _charset(settings: Settings, server: Reached) -> Finding:
    wrong = sorted(
        (table, collation)
        for table, collation in await server.fetch(SQL["collations"])
        if table in created_tables() and collation != COLLATION
    )
    if wrong:
        table, collation = wrong[0]
        return error(
            "charset",
            f"{table} has texts in {collation}, not {COLLATION}, so it may refuse or mix up texts",
            f"As an administrator: ALTER TABLE `{table}` CONVERT TO CHARACTER SET {CHARSET} "
            f"COLLATE {COLLATION}",
        )
    name = settings.mysql_database
    ((default,),) = await server.fetch(SQL["charset"])
    if default != CHARSET:
        text = f"{name} has the default {default}. hirebase's tables name their own, {CHARSET}."
        remedy = f"As an administrator: ALTER DATABASE `{name}` CHARACTER SET {CHARSET}"
        return warning("charset", text, remedy)
    return ok("charset", f"{name} and its tables use {CHARSET}")


async def _limits(settings: Settings, server: Reached) -> Finding:
    own = TransactionLimits.configured(
        settings.mysql_max_transaction_rows, settings.mysql_max_transaction_bytes
    )
    limits = await limits_of(server.fetch, own)
    rows, size_limit = limits.rows, limits.bytes
    known = [f"{rows.value} rows ({rows.name})"] if rows else []
    known += [f"{size(size_limit.value)} ({size_limit.name})"] if size_limit else []
    text = (
        f"A transaction has at most {', '.join(known)}"
        if known
        else "A transaction has no known limit"
    )
    too_few = rows is not None and rows.value < BATCH_ROWS
    if too_few or (size_limit is not None and size_limit.value < BATCH_BYTES):
        remedy = "Raise the limit: a batch of 1,000 rows may not fit into a transaction."
        return warning("limits", text, remedy)
    return ok("limits", text)


async def _group(server: Reached) -> Finding | None:
    """In a group of servers, check that the login sees its members."""
    if not await server.fetch(DATABASE_SQL["group_name"]):
        return None
    try:
        await server.fetch(DATABASE_SQL["group_replication"])
    except UnavailableError:
        raise
    except DatabaseError:
        text, _, remedy = NO_GRANT.partition(". ")
        return warning("group", text, remedy)
    return ok("group", f"{server.name} belongs to the majority of its group")
