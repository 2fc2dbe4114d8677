"""Rows that carry their ids: compared with what is there, then added, changed or left alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from msgspec import Struct

import sql
from service.core.batch import Batch, Row
from service.core.database import Transaction
from service.core.fields import Error
from service.core.store import parts
from service.core.tables import Table

OnConflict = Literal["skip", "replace", "reject"]


class Counts(Struct):
    """What became of rows that carry their ids."""

    added: int = 0
    changed: int = 0
    unchanged: int = 0
    skipped: int = 0

    def __iadd__(self, other: Counts) -> Counts:
        for name in self.__struct_fields__:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        return self


async def put(transaction: Transaction, batch: Batch, on_conflict: OnConflict) -> Counts:
    """Write rows that carry their ids; rows that are there already are compared.

    A row equal to what is there is unchanged; another one with that id is skipped, replaces it,
    or is rejected. The first of several rows with one id in a batch counts.
    """
    unique = _reject_repeated(batch)
    old = await find(transaction, batch.table, list(unique))
    fresh = [row for key, row in unique.items() if key not in old]
    conflicts = {
        at: row for at, row in enumerate(batch.rows) if row[0] in old and old[row[0]] != row
    }
    counts = Counts(added=len(fresh), unchanged=len(batch.rows) - len(fresh) - len(conflicts))
    if fresh:
        await transaction.insert(batch.table.sql["insert_with_id"], sorted(fresh))
    if conflicts:
        await _settle(transaction, batch, conflicts, on_conflict, counts)
    return counts


async def find(transaction: Transaction, table: Table, ids: Sequence[int]) -> dict[int, Row]:
    """The rows with these ids, by id."""
    return {
        row[0]: row
        for part in parts(sorted(ids))
        for row in await transaction.fetch(sql.expand(table.sql["find"], len(part)), part)
    }


async def delete(transaction: Transaction, table: Table, ids: Iterable[int]) -> None:
    """Remove the rows with these ids."""
    for part in parts(sorted(ids)):
        await transaction.execute(sql.expand(table.sql["delete"], len(part)), part)


async def _settle(
    transaction: Transaction,
    batch: Batch,
    conflicts: dict[int, Row],
    on_conflict: OnConflict,
    counts: Counts,
) -> None:
    match on_conflict:
        case "replace":
            await transaction.insert(batch.table.sql["replace"], sorted(conflicts.values()))
            counts.changed += len(conflicts)
        case "skip":
            counts.skipped += len(conflicts)
        case "reject":
            taken = "is in the table already, with other values"
            batch.reject({at: [_duplicate(row, taken)] for at, row in conflicts.items()})


def _reject_repeated(batch: Batch) -> dict[int, Row]:
    """The first row of each id; rows that repeat an id with other values are rejected."""
    first: dict[int, Row] = {}
    for row in batch.rows:
        first.setdefault(row[0], row)
    if len(first) < len(batch.rows):
        why = "came before, with other values"
        repeats = {at: row for at, row in enumerate(batch.rows) if first[row[0]] != row}
        batch.reject({at: [_duplicate(row, why)] for at, row in repeats.items()})
    return first


def _duplicate(row: Row, why: str) -> Error:
    return Error("id", "duplicate", f"id {row[0]} {why}")
