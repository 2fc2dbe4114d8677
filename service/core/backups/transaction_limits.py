"""Limits on the size of a transaction: some engines have them, and fail only at COMMIT."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from service.core.backups.format.avro import Reader
from service.core.database.transactions import Database
from service.core.errors import TransactionTooLarge
from service.core.threads import in_thread


class TransactionLimits(Struct, frozen=True):
    """The engine's limits on one transaction, from the settings; None: no limit."""

    rows: int | None = None
    bytes: int | None = None


async def refuse_too_large(
    database: Database,
    readers: Sequence[Reader],
    mode: Literal["replace", "merge"],
    limits: TransactionLimits,
) -> None:
    """TransactionTooLarge if a restore may write more than one transaction allows.

    It may write every row of the files, and `replace` may remove every row of the tables.
    """
    if limits == TransactionLimits():
        return
    rows = sum(reader.rows for reader in readers)
    removed = await _stored(database, readers) if mode == "replace" else 0
    _compare("MYSQL_MAX_TRANSACTION_ROWS", rows + removed, limits.rows)
    if limits.bytes is not None:
        size = sum([await in_thread(reader.inflated) for reader in readers])
        _compare("MYSQL_MAX_TRANSACTION_BYTES", size + removed * size // max(1, rows), limits.bytes)


def _compare(name: str, size: int, limit: int | None) -> None:
    if limit is not None and size > limit:
        unit = name.rpartition("_")[2].lower()
        raise TransactionTooLarge(
            f"This restore may write {size} {unit} in one transaction, {name} allows {limit}. "
            "Nothing was changed. Restore fewer tables at once, use mode=merge, or raise the "
            "limit if the server allows more."
        )


async def _stored(database: Database, readers: Sequence[Reader]) -> int:
    total = 0
    for reader in readers:
        ((count,),) = await database.fetch(reader.table.sql["count"])
        total += count
    return total
