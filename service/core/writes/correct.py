"""Corrects single rows: changes some of their fields, or deletes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Raw

from service.core.database.statements import Transaction
from service.core.errors import (
    DataError,
    DuplicateError,
    MalformedError,
    MissingParentsError,
    OrphansError,
    RowsRefused,
)
from service.core.reads.pages import find_row
from service.core.rules.batch import Batch, Records, Row, validate_each
from service.core.rules.fields import Error
from service.core.rules.raw_json import decode_value
from service.core.rules.reject import Reject
from service.core.tables import Table, children
from service.core.writes import row_changes
from service.core.writes.merge import delete, replace
from service.core.writes.parents import check_parents

LISTED = 10
"""The rows of each table that an error lists."""
Check = Callable[[Row], None]
"""Raises an error if a row is not the one that a client has seen."""


async def change(
    transaction: Transaction, table: Table, key: int, body: bytes, user: str, check: Check
) -> Row:
    """Change the fields that a JSON object names, by the rules of new rows; the changed row.

    user: who asks for it, for the history.

    NotFoundError, RowsRefused, MissingParentsError, or the error of `check`.
    """
    old = await find_row(transaction.fetch, table, key, lock=True)
    check(old)
    batch = _changed(table, old, body)
    await check_parents(transaction, batch)
    _refuse(batch, body)
    # Texts of the rules' own types, such as decimals, have no JSON.
    new = (key, *(str(one) if isinstance(one, str) else one for one in batch.rows[0]))
    if new != old:
        await _write(transaction, table, new, body)
        await row_changes.add(transaction, table, user, old, new)
    return new


async def remove(transaction: Transaction, table: Table, key: int, user: str, check: Check) -> Row:
    """Delete a row that no other row refers to; the deleted row.

    user: who asks for it, for the history.
    NotFoundError, OrphansError, TableBusyError, or the error of `check`.
    """
    old = await find_row(transaction.fetch, table, key, lock=True)
    check(old)
    await _refuse_orphans(transaction, table, key)
    # This changes no value. But a table that is being restored refuses it, as it refuses new rows.
    await replace(transaction, table, [old])
    await delete(transaction, table, [key])
    await row_changes.add(transaction, table, user, old, None)
    return old


def _changed(table: Table, old: Row, body: bytes) -> Batch:
    """The row with the fields of a JSON object, validated as a batch of one."""
    try:
        fields = decode_value(body)
    except ValueError as error:
        raise MalformedError(f"The body is not valid JSON: {error}") from None
    if not isinstance(fields, dict):
        raise MalformedError('The body must be a JSON object, such as {"name": "Ana"}.')
    stored: dict[str, Any] = table.as_object(old)
    del stored["id"]
    records = Records(lambda: [{**stored, **fields}])
    return validate_each(table, table.fields, table.row, records, lambda record: record)


def _refuse(batch: Batch, body: bytes) -> None:
    """Raise an error if the row breaks a rule, or a parent does not exist."""
    for reject in batch.rejects:
        kind = RowsRefused
        if all(error.code == "not_found" for error in reject.errors):
            kind = MissingParentsError
        message = f"The change breaks a rule: {reject.reasons}. Nothing was changed."
        raise kind(message, [Reject(0, Raw(body), reject.errors)])


async def _write(transaction: Transaction, table: Table, new: Row, body: bytes) -> None:
    try:
        await replace(transaction, table, [new])
    except DuplicateError:
        raise
    except DataError as error:
        reject = Reject(0, Raw(body), [Error(None, "malformed", str(error))])
        raise RowsRefused(f"{error} Nothing was changed.", [reject]) from error


async def _refuse_orphans(transaction: Transaction, table: Table, key: int) -> None:
    counts, rows = dict[str, int](), list[dict[str, Any]]()
    for child, field in children(table):
        ((count,),) = await transaction.fetch(child.sql[f"count_by_{field.name}"], (key,))
        if count:
            counts[child.path] = counts.get(child.path, 0) + count
            found = await transaction.fetch(child.sql[f"orphans_by_{field.name}"], (key,))
            rows += [
                {"table": child.path, "id": orphan, "field": field.name, "parent": key}
                for orphan, _ in found[:LISTED]
            ]
    if counts:
        listed = " and ".join(f"{count} rows of {path}" for path, count in counts.items())
        raise OrphansError(
            f"{listed} refer to row {key} of {table.path}. Change or delete them first.",
            sum(counts.values()),
            rows,
        )
