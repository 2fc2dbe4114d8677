"""Restoring a table from Avro: all or nothing, ids kept, no orphans."""

from __future__ import annotations

import asyncio
from array import array
from bisect import bisect_left
from collections.abc import Iterable
from itertools import pairwise
from typing import IO, Any, Literal

from msgspec import Struct

import sql
from service.core import avro, batch, merge, store
from service.core.backup import table_checksum
from service.core.database import Database, Transaction
from service.core.errors import BackupError, OrphansError, RowsRefused
from service.core.merge import Counts
from service.core.tables import Table, children

Mode = Literal["replace", "merge"]

SECONDS = 3600
REPORTED = 100
"""Refused rows that are told one by one."""


class Restored(Struct):
    """What a restore did to a table; verified: count and checksum equal those of the backup."""

    table: str
    restored: int
    added: int
    changed: int
    removed: int
    verified: bool


class _DryRun(Exception):
    """Undoes what was only tried."""


async def restore(
    database: Database, table: Table, file: IO[bytes], mode: Mode, *, dry_run: bool = False
) -> Restored:
    """Make the table what the file says, in one transaction.

    replace removes rows that the file lacks, merge keeps them. BackupError for a file that is no
    backup of this table, RowsRefused for rows that break a rule, OrphansError where rows would
    lose a parent: the tables are then as they were.
    """
    tried: list[Restored] = []

    async def work(transaction: Transaction) -> Restored:
        file.seek(0)
        result = await _restore(transaction, table, file, mode)
        if dry_run:
            tried.append(result)
            raise _DryRun
        return result

    try:
        return await database.run(work, SECONDS)
    except _DryRun:
        return tried[-1]


async def _restore(transaction: Transaction, table: Table, file: IO[bytes], mode: Mode) -> Restored:
    reader = await asyncio.to_thread(avro.Reader, table, file)
    counts, ids = await _put_all(transaction, table, reader)
    removed = await _remove_others(transaction, table, ids) if mode == "replace" else 0
    return Restored(
        table=table.path,
        restored=len(ids),
        added=counts.added,
        changed=counts.changed,
        removed=removed,
        verified=mode == "replace" and await _verify(transaction, table, reader.metadata),
    )


async def _put_all(
    transaction: Transaction, table: Table, reader: Iterable[Any]
) -> tuple[Counts, array[int]]:
    counts, ids, position = Counts(), array("i"), 0
    blocks = iter(reader)
    while (records := await asyncio.to_thread(next, blocks, None)) is not None:
        judged = batch.from_records(table, records)
        _refuse(table, judged, position)
        await store.check_parents(transaction, judged)
        _refuse_orphans(table, judged)
        ids.extend(row[0] for row in judged.rows)
        counts += await merge.put(transaction, judged, "replace")
        _refuse(table, judged, position)
        position += len(records)
    return counts, _sorted_ids(table, ids)


def _refuse(table: Table, judged: batch.Batch, position: int) -> None:
    if judged.rejects:
        for reject in judged.rejects:
            reject.position += position
        count = len(judged.rejects)
        raise RowsRefused(
            f"{count} rows of this backup of {table.path} break a rule; nothing was restored.",
            judged.rejects[:REPORTED],
            count=count,
        )


def _refuse_orphans(table: Table, judged: batch.Batch) -> None:
    if judged.rejects:
        count = len(judged.rejects)
        reasons = {error.message for reject in judged.rejects for error in reject.errors}
        raise OrphansError(
            f"{count} rows of {table.path} would be without their parent "
            f"({'; '.join(sorted(reasons)[:5])}). Restore the parents first; nothing was changed.",
            count,
        )


def _sorted_ids(table: Table, ids: array[int]) -> array[int]:
    ordered = array("i", sorted(ids))
    for one, other in pairwise(ordered):
        if one == other:
            raise BackupError(f"Id {one} stands twice in this backup of {table.path}.")
    return ordered


async def _remove_others(transaction: Transaction, table: Table, keep: array[int]) -> int:
    after, removed = 0, 0
    while page := await transaction.fetch(table.sql["ids"], (after, store.LOOKUP)):
        after = page[-1][0]
        others = [key for (key,) in page if not _contains(keep, key)]
        if others:
            await _refuse_to_orphan(transaction, table, others)
            await merge.delete(transaction, table, others)
            removed += len(others)
    return removed


async def _refuse_to_orphan(transaction: Transaction, table: Table, ids: list[int]) -> None:
    for child, field in children(table):
        statement = sql.expand(child.sql[f"count_by_{field.name}"], len(ids))
        ((count,),) = await transaction.fetch(statement, ids)
        if count:
            raise OrphansError(
                f"{count} rows of {child.path} refer to {table.path} that this backup lacks. "
                f"Restore or remove those {child.path} first; nothing was changed.",
                count,
            )


async def _verify(transaction: Transaction, table: Table, metadata: dict[str, str]) -> bool:
    claimed = metadata.get("hirebase.rows"), metadata.get("hirebase.checksum")
    if claimed == (None, None):
        return False
    rows, checksum = await table_checksum(transaction, table)
    if claimed != (str(rows), checksum):
        raise BackupError(
            f"The backup of {table.path} claims {claimed[0]} rows with checksum {claimed[1]}, "
            f"but holds {rows} with {checksum}: it is damaged; nothing was restored."
        )
    return True


def _contains(ordered: array[int], key: int) -> bool:
    at = bisect_left(ordered, key)
    return at < len(ordered) and ordered[at] == key
