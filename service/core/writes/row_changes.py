"""The history of single rows: what each correction or deletion changed, when, and who did it."""

from __future__ import annotations

from typing import Literal

from msgspec import Raw, Struct

import sql
from service.core.database.replication.limits import Fetch
from service.core.database.statements import Row, Transaction
from service.core.rules.fields import MAX_LONG
from service.core.rules.raw_json import json_text
from service.core.tables import Table

SQL = sql.statements("row_changes")
LONGEST_NAME = 255


class RowChange(Struct):
    """A change of a row: its number, when (UTC), by whom, and the row before and after.

    after: None if the row was deleted.
    """

    id: int
    changed_at: str
    changed_by: str
    kind: Literal["changed", "deleted"]
    before: Raw
    after: Raw | None


async def add(transaction: Transaction, table: Table, user: str, old: Row, new: Row | None) -> None:
    """Record a change in the transaction that makes it. new: None if the row is deleted."""
    before, after = _text(table, old), None if new is None else _text(table, new)
    kind = "deleted" if new is None else "changed"
    values = (table.name, old[0], user[:LONGEST_NAME], kind, before, after)
    await transaction.execute(SQL["insert"], values)


async def changes_after(
    fetch: Fetch, table: Table, row_id: int, after: int, limit: int
) -> list[RowChange]:
    """The changes of a row with numbers above `after`, oldest first."""
    return [_change(row) for row in await fetch(SQL["page"], (table.name, row_id, after, limit))]


async def latest_changes(
    fetch: Fetch, table: Table, row_id: int, limit: int, before: int = MAX_LONG
) -> list[RowChange]:
    """The changes of a row with numbers below `before`, newest first."""
    return [_change(row) for row in await fetch(SQL["latest"], (table.name, row_id, before, limit))]


def _text(table: Table, row: Row) -> str:
    return json_text(table.as_object(row))


def _change(row: Row) -> RowChange:
    key, when, user, kind, before, after = row
    new = None if after is None else Raw(after)
    return RowChange(key, f"{when}Z", user, kind, Raw(before), new)
