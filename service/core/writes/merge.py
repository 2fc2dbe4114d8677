"""Writes rows that have ids: each is compared with the stored row, then added or changed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from operator import itemgetter
from typing import Literal

from msgspec import Struct

import sql
from service.core.database.statements import Transaction, fetch_among
from service.core.errors import DataError, DuplicateError
from service.core.rules.batch import Batch, Row
from service.core.rules.fields import Error
from service.core.tables import Table
from service.core.writes.transaction_size import TransactionSize
from sql import chunks

Write = Callable[[Transaction, Table, Iterable[Row]], Awaitable[None]]
OnConflict = Literal["skip", "replace", "reject"]

STATEMENT = 2000
"""Rows in one INSERT. With more, the server takes longer for each."""


class Counts(Struct):
    """The number of rows by what happened to them."""

    added: int = 0
    changed: int = 0
    unchanged: int = 0
    skipped: int = 0

    def __iadd__(self, other: Counts) -> Counts:
        for name in self.__struct_fields__:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        return self


@dataclass
class Decision:
    """What to do with rows: rows to add and rows to change by id, errors by index.

    The result is the same as if the rows were written one by one: the first row with an id is
    added, the next ones are compared with it.
    """

    added: dict[int, Row]
    changed: dict[int, Row] = field(default_factory=dict)
    refused: dict[int, list[Error]] = field(default_factory=dict)
    counts: Counts = field(default_factory=Counts)


def decide(rows: Sequence[Row], old: Mapping[int, Row], on_conflict: OnConflict) -> Decision:
    """Compare rows with the stored rows of the same ids."""
    first = {} if old else {row[0]: row for row in rows}
    if not old and len(first) == len(rows):
        return Decision(first, counts=Counts(added=len(rows)))
    return _decide_each(rows, dict(old), on_conflict)


def _decide_each(rows: Sequence[Row], stored: dict[int, Row], on_conflict: OnConflict) -> Decision:
    decision = Decision({})
    counts = decision.counts
    for at, row in enumerate(rows):
        key = row[0]
        if key not in stored:
            stored[key] = decision.added[key] = row
        elif stored[key] == row:
            counts.unchanged += 1
        elif on_conflict == "skip":
            counts.skipped += 1
        elif on_conflict == "reject":
            decision.refused[at] = [_duplicate(key)]
        else:
            target = decision.added if key in decision.added else decision.changed
            stored[key] = target[key] = row
            counts.changed += 1
    counts.added = len(decision.added)
    return decision


async def put(
    transaction: Transaction,
    batch: Batch,
    on_conflict: OnConflict,
    size: TransactionSize | None = None,
) -> Counts:
    """Write rows that have ids.

    A row equal to the stored one is unchanged. A row that differs from the stored one is skipped,
    replaces it, or is rejected. Rows that the server refuses are rejected, too. size: counts the
    rows; TransactionTooLarge before they are written.
    """
    old = await find_among(transaction, batch.table, [row[0] for row in batch.rows])
    decision = decide(batch.rows, old, on_conflict)
    if size:
        add_to(size, batch.table, decision, old)
    counts, errors = decision.counts, decision.refused
    add = partial(insert, parents_locked=batch.parents_locked)
    not_added = await _write_all(add, transaction, batch.table, decision.added)
    counts.added -= len(not_added)
    change = partial(replace, parents_locked=batch.parents_locked)
    not_changed = await _write_all(change, transaction, batch.table, decision.changed)
    counts.changed -= len(not_changed)
    if refused := not_added | not_changed:
        rows = decision.added | decision.changed
        errors |= {
            at: refused[row[0]]
            for at, row in enumerate(batch.rows)
            if row[0] in refused and row is rows[row[0]]
        }
    if errors:
        batch.reject(errors)
    return counts


def add_to(size: TransactionSize, table: Table, decision: Decision, old: Mapping[int, Row]) -> None:
    """Add the rows that a decision writes to the size of a transaction."""
    size.add(table, decision.added.values())
    changed = decision.changed.values()
    size.add(table, changed, before=[old[row[0]] for row in changed])


async def _write_all(
    write: Write, transaction: Transaction, table: Table, rows: Mapping[int, Row]
) -> dict[int, list[Error]]:
    """Write rows; the errors by id of those that the server refuses, for example by a CHECK."""
    refused: dict[int, list[Error]] = {}
    ids = sorted(rows)
    for start in range(0, len(ids), STATEMENT):
        chunk = [rows[key] for key in ids[start : start + STATEMENT]]
        try:
            await write(transaction, table, chunk)
        except DuplicateError:
            raise
        except DataError:
            # The statement that failed undid only itself: the transaction continues.
            refused |= await _write_each(write, transaction, table, chunk)
    return refused


async def _write_each(
    write: Write, transaction: Transaction, table: Table, rows: Sequence[Row]
) -> dict[int, list[Error]]:
    refused: dict[int, list[Error]] = {}
    for row in rows:
        try:
            await write(transaction, table, [row])
        except DuplicateError:
            raise
        except DataError as error:
            refused[row[0]] = [Error(None, "malformed", str(error))]
    return refused


async def insert(
    transaction: Transaction, table: Table, rows: Iterable[Row], *, parents_locked: bool = False
) -> None:
    """Add rows whose ids are free; DuplicateError if one is not."""
    await _write(transaction, table.sql["insert_with_id"], rows, parents_locked=parents_locked)


async def replace(
    transaction: Transaction, table: Table, rows: Iterable[Row], *, parents_locked: bool = False
) -> None:
    """Replace the rows that have these ids."""
    await _write(transaction, table.sql["replace"], rows, parents_locked=parents_locked)


async def _write(
    transaction: Transaction, statement: str, rows: Iterable[Row], *, parents_locked: bool
) -> None:
    ordered = sorted(rows, key=itemgetter(0))
    for start in range(0, len(ordered), STATEMENT):
        some = ordered[start : start + STATEMENT]
        await transaction.insert(statement, some, parents_locked=parents_locked)


async def find_among(transaction: Transaction, table: Table, ids: Sequence[int]) -> dict[int, Row]:
    """The rows with these ids, by id.

    One cheap query if the table has no id from the first to the last, as for rows of a new file.
    """
    if not ids:
        return {}
    nearest = await transaction.fetch(table.sql["ids"], (min(ids) - 1, 1))
    if not nearest or nearest[0][0] > max(ids):
        return {}
    return await find(transaction, table, sorted(set(ids)))


async def find(transaction: Transaction, table: Table, ids: Sequence[int]) -> dict[int, Row]:
    """The rows with these ids, by id."""
    rows = await fetch_among(transaction.fetch, table.sql["find"], ids)
    return {row[0]: row for row in rows}


async def delete(transaction: Transaction, table: Table, ids: Iterable[int]) -> None:
    """Delete the rows with these ids."""
    for some in chunks(sorted(ids)):
        await transaction.execute(sql.with_in_list(table.sql["delete"], len(some)), some)


def _duplicate(key: int) -> Error:
    return Error("id", "duplicate", f"id {key} is taken by a row with other values")
