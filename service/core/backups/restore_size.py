"""Finds out whether a restore is too large for one transaction, if possible before it starts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from service.core.backups.format.avro import Reader
from service.core.database.replication.limits import TransactionLimits
from service.core.database.transactions import Database
from service.core.tables import Field
from service.core.threads import in_thread
from service.core.writes.transaction_size import OTHER_BYTES, OTHER_ROWS, least_bytes, refuse_above

LONG = 8
"""The bytes of a long in a binary log. In Avro it may have ten."""


async def refuse_too_large(
    database: Database,
    readers: Sequence[Reader],
    mode: Literal["replace", "merge"],
    limits: TransactionLimits,
) -> None:
    """TransactionTooLarge if a restore exceeds a limit, however many rows are stored already."""
    if not limits.rows and not limits.bytes:
        return
    rows, size = OTHER_ROWS, OTHER_BYTES
    for reader in readers:
        ((stored,),) = await database.fetch(reader.table.sql["count"])
        difference = reader.rows - stored
        written = max(difference, 0) if mode == "merge" else abs(difference)
        rows += written
        if limits.bytes and written:
            size += await _least_bytes(reader, written, limits)
    refuse_above(limits.rows, rows, "rows", rows)
    refuse_above(limits.bytes, size, "bytes", rows)


def may_be_too_large(readers: Sequence[Reader], limits: TransactionLimits) -> bool:
    """Whether a merge exceeds a limit if it changes every row."""
    rows = OTHER_ROWS + sum(reader.rows for reader in readers)
    size = sum(
        2 * reader.rows * (reader.table.row_bytes + limits.most_keys(reader.table))
        for reader in readers
    )
    return any(
        limit and value > limit.value
        for limit, value in ((limits.rows, rows), (limits.bytes, size))
    )


async def _least_bytes(reader: Reader, rows: int, limits: TransactionLimits) -> int:
    table = reader.table
    least = rows * least_bytes(table, limits)
    if rows < reader.rows:
        return least
    # All rows of the file are written, so the length of their texts is known.
    per_row = limits.least_keys(table) - sum(map(_slack, table.stored_fields))
    # A row takes more bytes in a statement than in Avro.
    times = 2 if limits.with_statements else 1
    return max(least, times * await in_thread(reader.inflated) + rows * per_row)


def _slack(field: Field) -> int:
    """The most bytes that a value has more in Avro than in a binary log."""
    return (2 if field.kind.stored >= LONG else 1) + field.optional
