"""Taking a batch of new rows: the good ones written, the others logged, a verdict on each."""

from __future__ import annotations

from copy import copy
from typing import Literal

import msgspec
from msgspec import Struct

from service.core.database.transactions import SQL, Transaction
from service.core.errors import TooLargeError
from service.core.rules.batch import Batch
from service.core.rules.reject import Reject
from service.core.writes import insert
from service.core.writes.parents import check_parents
from service.core.writes.rejects import RejectOrigin, log_rejects

Mode = Literal["partial", "atomic"]

MAX_VERDICT = 6 << 20
"""Bytes of rejects in a reply: escaped, they still fit a statement of 16 MiB, as servers take."""


class Verdict(Struct):
    """What became of a batch: `ids[i]` is the id of row i, or None where nothing was written."""

    received: int
    inserted: int
    ids: list[int | None]
    rejects: list[Reject]


async def ingest(
    transaction: Transaction,
    judged: Batch,
    origin: RejectOrigin,
    mode: Mode = "partial",
    *,
    dry_run: bool = False,
) -> Verdict:
    """Insert the good rows of a batch, in mode atomic only if all are, and log the others."""
    # A copy, because a deadlock runs this again and parents may exist by then.
    batch = copy(judged)
    batch.rejects = list(judged.rejects)
    await check_parents(transaction, batch)
    _check_size(batch.rejects)
    ids: list[int | None] = [None] * batch.received
    if not dry_run and not (mode == "atomic" and batch.rejects):
        ids = await _insert(transaction, batch, mode)
    if not dry_run:
        await log_rejects(transaction, batch.table, batch.rejects, origin)
    return Verdict(batch.received, batch.received - ids.count(None), ids, batch.rejects)


def _check_size(rejects: list[Reject]) -> None:
    told = len(msgspec.json.encode(rejects))
    if told > MAX_VERDICT:
        raise TooLargeError(
            f"Telling what is wrong with these rows takes {told} bytes, {MAX_VERDICT} are the "
            "limit. Send fewer rows at a time."
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
