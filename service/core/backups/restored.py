"""The modes, the results and the refusals of restores."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Literal

from msgspec import Struct

from service.core.backups.format.avro import Reader
from service.core.backups.format.checksum import Checksum
from service.core.errors import BackupError, RowsRefused
from service.core.rules.batch import Batch
from service.core.tables import Table, by_path
from service.core.threads import in_thread
from service.core.writes.rows_by_day import RowCounts

Mode = Literal["replace", "merge"]

REPORTED = 100
"""Refused rows that an error lists."""


class Restored(Struct):
    """What a restore did to a table, or what a dry run would do.

    orphaned: the orphans in all tables; not 0 only in a dry run. verified: the file is one of ours,
    and its rows and those of the table have the checksum that the database computed for the backup.
    """

    table: str
    restored: int
    added: int = 0
    changed: int = 0
    removed: int = 0
    orphaned: int = 0
    verified: bool = False


@asynccontextmanager
async def damage_first(reader: Reader) -> AsyncIterator[None]:
    """Work on the rows of a file. If rows are refused because it is damaged, the error says so."""
    try:
        yield
    except RowsRefused:
        await in_thread(reader.read_and_check)
        raise


def repeated(table: Table, key: int | str) -> BackupError:
    """The error of a file with two rows that have the same id."""
    return BackupError(f"This backup of {table.path} has two rows with id {key}.")


def check_total(table: Table, found: Checksum, expected: Checksum) -> None:
    """BackupError unless a table has the rows of its file."""
    if found != expected:
        raise BackupError(
            f"After the restore {table.path} would have {found.rows} rows with checksum {found}, "
            f"not the backup's {expected.rows} with {expected}; nothing was changed."
        )


def count_restored(counts: RowCounts, user: str, tables: Iterable[Restored]) -> None:
    """Count the rows that a restore has added."""
    for one in tables:
        counts.add("restore", user, by_path(one.table), one.added)


def refuse(batch: Batch, position: int) -> None:
    """RowsRefused if a batch that begins at this position has rejects."""
    if batch.rejects:
        table, count = batch.table.path, len(batch.rejects)
        raise RowsRefused(
            f"{count} of the rows {position} to {position + batch.received - 1} of this backup of "
            f"{table} break a rule; nothing was restored.",
            [reject.clipped(position) for reject in batch.rejects[:REPORTED]],
            count=count,
        )
