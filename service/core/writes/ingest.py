"""Ingest of a batch of new rows: write the valid rows, log the rejects, report on each."""

from __future__ import annotations

from copy import copy
from typing import Literal

import msgspec
from msgspec import Struct

from service.core.database.statements import SQL, Transaction
from service.core.errors import TooLargeError
from service.core.rules.batch import Batch
from service.core.rules.reject import Reject
from service.core.writes import insert
from service.core.writes.parents import Pending, check_parents, no_ids
from service.core.writes.rejects import RejectOrigin, log_rejects

Mode = Literal["partial", "atomic"]

MAX_VERDICT = 6 << 20
"""The most bytes of rejects in a reply. Escaped, they fit in a statement of 16 MiB."""


class Verdict(Struct):
    """The result of a batch: `ids[i]` is the id of row i, or None if it was not written."""

    received: int
    inserted: int
    ids: list[int | None]
    rejects: list[Reject]


async def ingest(
    transaction: Transaction,
    validated: Batch,
    origin: RejectOrigin,
    mode: Mode = "partial",
    *,
    dry_run: bool = False,
    pending: Pending = no_ids,
) -> Verdict:
    """Insert the valid rows of a batch, in mode atomic all rows or none, and log the rejects.

    pending: the parents that a dry run takes as written.
    """
    if not dry_run and (keys := await insert.insert_whole(transaction, validated)):
        return Verdict(validated.received, len(keys), list(keys), [])
    # A copy, because after a deadlock this runs again, and then other parents may exist.
    batch = copy(validated)
    batch.rejects = list(validated.rejects)
    await check_parents(transaction, batch, pending)
    _check_size(batch.rejects)
    ids: list[int | None] = [None] * batch.received
    if not dry_run and not (mode == "atomic" and batch.rejects):
        ids = await _insert(transaction, batch, mode)
    if not dry_run:
        await log_rejects(transaction, batch.table, batch.rejects, origin)
    return Verdict(batch.received, batch.received - ids.count(None), ids, batch.rejects)


def _check_size(rejects: list[Reject]) -> None:
    size = len(msgspec.json.encode(rejects))
    if size > MAX_VERDICT:
        raise TooLargeError(
            f"The errors of these rows take {size} bytes, the limit is {MAX_VERDICT}. "
            "Send fewer rows at a time."
        )


async def _insert(transaction: Transaction, batch: Batch, mode: Mode) -> list[int | None]:
    if mode == "partial":
        return await insert.insert(transaction, batch)
    await transaction.execute(SQL["savepoint"])
    ids = await insert.insert(transaction, batch)
    if batch.rejects:
        await transaction.execute(SQL["rollback_to_savepoint"])
        return [None] * batch.received
    return ids
