"""Taking a batch of new rows: one transaction for the rows and for the log of the others."""

from __future__ import annotations

from copy import copy

from msgspec import Struct

from service.core import store
from service.core.batch import Batch, Reject
from service.core.database import Database, Transaction
from service.core.store import Origin


class Verdict(Struct):
    """What became of a batch: `ids[i]` is the id of row i, or None where it was rejected."""

    received: int
    ids: list[int | None]
    rejects: list[Reject]

    @property
    def inserted(self) -> int:
        """The number of rows written."""
        return self.received - len(self.rejects)


async def submit(database: Database, judged: Batch, origin: Origin) -> Verdict:
    """Insert the good rows of a batch and log the others."""

    async def work(transaction: Transaction) -> Verdict:
        # A copy, because a deadlock runs this again and parents may exist by then.
        batch = copy(judged)
        batch.rejects = list(judged.rejects)
        await store.check_parents(transaction, batch)
        ids = await store.insert(transaction, batch)
        await store.log_rejects(transaction, batch.table, batch.rejects, origin)
        return Verdict(batch.received, ids, batch.rejects)

    return await database.run(work)
