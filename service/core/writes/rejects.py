"""The log of rejected rows: the table `rejects`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

import sql
from service.core.database.replication.limits import Fetch
from service.core.database.statements import Transaction
from service.core.errors import NotFoundError
from service.core.rules.batch import Row
from service.core.rules.fields import MAX_LONG
from service.core.rules.raw_json import json_text, text_of
from service.core.rules.reject import Reject
from service.core.tables import Table

REJECTS_PURGE_LIMIT = 100
"""Rejects in one transaction. Each can have megabytes."""

LOOKED_AT = 20_000
"""The most rejects that a page looks at, whatever their state, their file and their errors."""

REJECTS = sql.statements("rejects")


class RejectOrigin(Struct, frozen=True):
    """Where rows came from: api, loader or restore; the file or request; a file's fingerprint.

    lines: the line of each row of the batch in its file; without them, a position is an index.
    """

    source: Literal["api", "loader", "restore"]
    name: str
    fingerprint: str | None = None
    lines: Sequence[int] = ()


async def log_rejects(
    transaction: Transaction, table: Table, rejects: Sequence[Reject], origin: RejectOrigin
) -> None:
    """Log rows that were not inserted; a record of a file is logged only once."""
    if rejects:
        await transaction.insert(REJECTS["insert"], _reject_rows(table, rejects, origin))


async def end_of_page(
    fetch: Fetch, table: str | None, start: int, *, newest_first: bool = False
) -> int | None:
    """The last reject that a page looks at, beyond `start`; None if it looks at all that follow."""
    statement = REJECTS["last_before" if newest_first else "last_after"]
    found = await fetch(statement, (start, table, table, LOOKED_AT - 1))
    return int(found[0][0]) if found else None


async def find_reject(fetch: Fetch, statement: str, key: int) -> Row:
    """The row of a statement about one reject; NotFoundError."""
    rows = await fetch(statement, (key,)) if key <= MAX_LONG else []
    if not rows:
        raise NotFoundError(f"There is no reject {key}. It may have expired.")
    return rows[0]


async def purge_rejects(transaction: Transaction, days: int) -> int:
    """Delete some rejects older than `days`, except those of unfinished loads; their number."""
    purged = await transaction.execute(REJECTS["purge"], (days, REJECTS_PURGE_LIMIT))
    if purged < REJECTS_PURGE_LIMIT:  # the last part of a purge
        await transaction.execute(REJECTS["purge_layouts"])
    return purged


def _reject_rows(table: Table, rejects: Sequence[Reject], origin: RejectOrigin) -> list[Row]:
    first = (origin.source, origin.name[:255], origin.fingerprint, table.name)
    lines = origin.lines
    # Many rejects of a file share a list of errors.
    errors = {id(shared := reject.errors): shared for reject in rejects}
    texts = {key: json_text(shared) for key, shared in errors.items()}
    return [
        (
            *first,
            lines[reject.position] if lines else reject.position,
            text_of(reject.record),
            texts[id(reject.errors)],
        )
        for reject in rejects
    ]
