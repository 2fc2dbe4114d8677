"""Taking a batch of new rows: the good ones written, the others logged, a verdict on each."""

from __future__ import annotations

from copy import copy
from typing import Literal

import msgspec
from msgspec import Struct

from service.core import store
from service.core.batch import Batch
from service.core.database import SQL, Transaction
from service.core.errors import TooLargeError
from service.core.rejects import Reject
from service.core.store import Origin

Mode = Literal["partial", "atomic"]

MAX_VERDICT = 6 << 20
"""Bytes of rejects in a reply: escaped, they still fit a statement of 16 MiB, as servers take."""


class Verdict(Struct):
    """What became of a batch: `ids[i]` is the id of row i, or None where nothing was written."""

    received: int
    inserted: int
    ids: list[int | None]
    rejects: list[Reject]


async def take(
    transaction: Transaction,
    judged: Batch,
    origin: Origin,
    mode: Mode = "partial",
    *,
    dry_run: bool = False,
) -> Verdict:
    """Insert the good rows of a batch, in mode atomic only if all are, and log the others."""
    # A copy, because a deadlock runs this again and parents may exist by then.
    batch = copy(judged)
    batch.rejects = list(judged.rejects)
    await store.check_parents(transaction, batch)
    _check_size(batch.rejects)
    ids: list[int | None] = [None] * batch.received
    if not dry_run and not (mode == "atomic" and batch.rejects):
        ids = await _insert(transaction, batch, mode)
    if not dry_run:
        await store.log_rejects(transaction, batch.table, batch.rejects, origin)
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
        return await store.insert(transaction, batch)
    await transaction.execute(SQL["savepoint"])
    ids = await store.insert(transaction, batch)
    if batch.rejects:
        await transaction.execute(SQL["rollback_to_savepoint"])
        return [None] * batch.received
    return ids
