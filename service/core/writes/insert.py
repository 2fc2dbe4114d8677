"""Inserts new rows: the database generates their ids."""

from __future__ import annotations

from collections.abc import Sequence

from service.core.database.driver import Cursor
from service.core.database.statements import Transaction
from service.core.errors import DataError, StaleParentError
from service.core.rules.batch import Batch, Row
from service.core.rules.fields import Error
from service.core.tables import Table
from service.core.writes import parents


def small_rows(table: Table) -> int:
    """The most rows of a small batch: they fit in a statement, and the server checks each."""
    return min(parents.LOCKED_ROWS, _rows_of_statement(table)) - 1


def is_small(batch: Batch) -> bool:
    """Whether the batch is small and has no rejects."""
    return len(batch.rows) == batch.received <= small_rows(batch.table)


async def insert_whole(transaction: Transaction, batch: Batch) -> Sequence[int]:
    """Write a small batch without rejects in one statement; its ids, or none if that fails.

    The server checks the parents. A statement that fails undoes only itself, so that the batch can
    be written row by row in the same transaction.
    """
    if not is_small(batch):
        return ()
    try:
        return await transaction.insert_new(batch.table.sql["insert"], batch.rows)
    except (DataError, StaleParentError):
        return ()


async def insert(transaction: Transaction, batch: Batch) -> list[int | None]:
    """Write rows without ids; their ids by position, None for rejects.

    A row that the server refuses becomes a reject. StaleParentError if a parent was deleted after
    the check: the next attempt rejects its rows.
    """
    ids: list[int | None] = [None] * batch.received
    refused: dict[int, list[Error]] = {}
    size = _rows_of_statement(batch.table)
    for start in range(0, len(batch.rows), size):
        rows, positions = batch.rows[start : start + size], batch.positions[start : start + size]
        keys: Sequence[int | None]
        try:
            keys = await transaction.insert_new(
                batch.table.sql["insert"], rows, parents_locked=batch.parents_locked
            )
        except DataError:
            keys, errors = await _insert_each(transaction, batch.table, rows)
            refused |= {start + at: error for at, error in errors.items()}
        for position, key in zip(positions, keys, strict=True):
            ids[position] = key
    if refused:
        batch.reject(refused)
    return ids


def _rows_of_statement(table: Table) -> int:
    """How many rows fit in a statement. One that is too long for the server would fail."""
    return max(1, Cursor.max_stmt_length // table.row_bytes)


async def _insert_each(
    transaction: Transaction, table: Table, rows: Sequence[Row]
) -> tuple[list[int | None], dict[int, list[Error]]]:
    """The ids of rows, None for those that the server refuses, and the errors of these by index."""
    # The statement that failed undid only itself: the transaction continues.
    keys: list[int | None] = []
    errors: dict[int, list[Error]] = {}
    for at, row in enumerate(rows):
        try:
            keys += await transaction.insert_new(table.sql["insert"], [row])
        except DataError as error:
            keys.append(None)
            errors[at] = [Error(None, "malformed", str(error))]
    return keys, errors
