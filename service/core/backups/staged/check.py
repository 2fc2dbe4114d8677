"""Checks staging tables before they are swapped in: checksums, orphans, what would change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import sql
from service.core.backups.format.avro import Reader
from service.core.backups.format.checksum import Checksum
from service.core.backups.orphans import Orphans
from service.core.backups.restored import Restored, check_total
from service.core.backups.staged.changes import change
from service.core.backups.staged.definition import SQL
from service.core.backups.staged.staging import Staging
from service.core.backups.table_checksum import FIRST, LAST, checksum_of, ranges
from service.core.database.statements import Transaction
from service.core.database.transactions import Database
from service.core.errors import TableBusyError
from service.core.tables import Table, by_name
from sql import CHUNK

LOCKED = (
    "A restore cannot check which rows of {name} exist, because another transaction is deleting or "
    "changing some. The rows are as before. Try again when that has ended."
)


async def verify(transaction: Transaction, staging: Staging, reader: Reader) -> Restored:
    """The result for a table: BackupError unless it has the rows of the file, by the checksum."""
    total = await checksum_of(transaction, staging.stored)
    check_total(reader.table, total, reader.total or Checksum(reader.rows, total.value))
    return Restored(reader.table.path, total.rows, verified=reader.total is not None)


async def wait_for_deletions(database: Database, stagings: Sequence[Staging]) -> None:
    """Wait until those transactions end that delete parents; TableBusyError after a minute.

    Call it when the foreign keys are there. MariaDB and seekdb add one while such a transaction is
    open, and its COMMIT would leave orphans.
    """
    restored = {staging.table.name for staging in stagings}
    referred = {field.references or "" for one in stagings for _, field in one.table.parents}
    for name in sorted(referred - restored):
        try:
            await _wait_for_deletions(database, by_name(name))
        except TableBusyError as error:
            raise TableBusyError(LOCKED.format(name=name)) from error


async def _wait_for_deletions(database: Database, table: Table) -> None:
    first = FIRST
    while first != LAST:
        ends = await database.fetch(table.sql["nth"], (first, CHUNK - 1))
        last = ends[0][0] if ends else LAST
        statement = sql.with_names(SQL["wait_for_deletions"], name=table.name)
        statement = sql.with_parts(statement, first=str(first), last=str(last))
        await change(database, table.name, statement)
        first = last


async def refuse_orphans(
    transaction: Transaction, staging: Staging, names: Mapping[str, str]
) -> None:
    """OrphansError if rows have no parent; names: of the staging tables, by their live tables."""
    orphans = Orphans()
    for _, field in staging.table.parents:
        parents = field.references or ""
        statement = sql.with_names(
            SQL["missing_parents"],
            name=staging.name,
            field=field.name,
            parents=names.get(parents, parents),
        )
        missing = [key for (key,) in await transaction.fetch(statement)]
        await orphans.count_references(transaction, staging.stored, field, missing)
    orphans.refuse()


async def compare(transaction: Transaction, staging: Staging, result: Restored) -> None:
    """Count the rows that the swap adds, changes and removes."""
    statement = sql.with_names(
        sql.with_parts(SQL["compare"], differs=sql.any_differs(staging.table.columns[1:])),
        name=staging.name,
        live=staging.table.name,
    )
    ((live,),) = await transaction.fetch(staging.table.sql["count"])
    common = 0
    if live:
        async for first, last in ranges(transaction, staging.stored):
            ((both, changed),) = await transaction.fetch(statement, (first, last))
            common += both
            result.changed += int(changed)
    result.added, result.removed = result.restored - common, live - common
