"""Checks staging tables before they are swapped in: checksums, orphans, what would change."""

from __future__ import annotations

from collections.abc import Mapping

import sql
from service.core.backups.format.avro import Reader
from service.core.backups.format.checksum import Checksum
from service.core.backups.orphans import Orphans
from service.core.backups.restored import Restored, check_total
from service.core.backups.staged.definition import SQL
from service.core.backups.staged.staging import Staging
from service.core.backups.table_checksum import checksum_of, ranges
from service.core.database.statements import Transaction


async def verify(transaction: Transaction, staging: Staging, reader: Reader) -> Restored:
    """The result for a table: BackupError unless it has the rows of the file, by the checksum."""
    total = await checksum_of(transaction, staging.stored)
    check_total(reader.table, total, reader.total or Checksum(reader.rows, total.value))
    return Restored(reader.table.path, total.rows, verified=reader.total is not None)


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
