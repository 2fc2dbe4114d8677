"""What a restore is asked to do, and what it did."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from msgspec import Struct

from service.core.errors import RowsRefused
from service.core.rules.batch import Batch
from service.core.tables import by_path
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
