"""Inserting new rows: the database generates their ids."""

from __future__ import annotations

from service.core.database.transactions import Transaction
from service.core.errors import DataError
from service.core.rules.batch import Batch
from service.core.rules.fields import Error


async def insert(transaction: Transaction, batch: Batch) -> list[int | None]:
    """Write rows without ids in one statement; their ids by position, None for rejects.

    Where the server refuses a row, each is written by itself and the refused ones are rejected.
    StaleParentError where a parent vanished since the check: run again, that finds it missing.
    """
    ids: list[int | None] = [None] * batch.received
    if not batch.rows:
        return ids
    try:
        first = await transaction.insert(batch.table.sql["insert"], batch.rows)
        keys = range(first, first + len(batch.rows) * transaction.id_step, transaction.id_step)
    except DataError:
        return await _insert_each(transaction, batch, ids)
    if not batch.rejects:
        return list(keys)
    for position, key in zip(batch.positions, keys, strict=True):
        ids[position] = key
    return ids


async def _insert_each(
    transaction: Transaction, batch: Batch, ids: list[int | None]
) -> list[int | None]:
    # The statement that failed undid itself alone: the transaction goes on.
    refused: dict[int, list[Error]] = {}
    for at, (position, row) in enumerate(zip(batch.positions, batch.rows, strict=True)):
        try:
            ids[position] = await transaction.insert(batch.table.sql["insert"], [row])
        except DataError as error:
            refused[at] = [Error(None, "malformed", str(error))]
    batch.reject(refused)
    return ids
