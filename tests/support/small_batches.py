"""Writes small batches as requests do, so that some of them wait and are written together."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from service.core.database.statements import Row, Transaction, fetch_among
from service.core.database.transactions import Database
from service.core.rules import batch
from service.core.tables import by_path
from service.core.writes.group_commit import TRANSACTIONS, GroupCommit
from service.core.writes.idempotency import Key, Keys, Reply
from service.core.writes.ingest import ingest
from service.core.writes.rejects import RejectOrigin
from tests.support.hires import hire, names


class Writer:
    """Writes batches as a request does. `alone`: the names of those that were written alone."""

    def __init__(self, database: Database):
        self.keys = Keys(database, 1)
        self.group_commit = GroupCommit(database, self.keys)
        self.alone: list[str] = []
        self._database = database

    async def write(
        self, *names: str, key: str | None = None, department_id: int = 1, path: str = "employees"
    ) -> Reply:
        """The reply has the ids as JSON; a batch that was written alone has the status 1."""
        rows = [hire(name=name, department_id=department_id) for name in names]
        if path != "employees":
            rows = [{path.removesuffix("s"): name} for name in names]
        validated = batch.from_json(by_path(path), msgspec.json.encode(rows))
        known = Key("user", "POST", key, str(names)) if key else None

        async def work(transaction: Transaction) -> Reply:
            verdict = await ingest(transaction, validated, RejectOrigin("api", "test"))
            return Reply(1, msgspec.json.encode(verdict.ids))

        async def alone() -> Reply:
            self.alone.extend(names)
            once = self.keys.once(known, work) if known else self._database.run(work)
            return await once

        return await self.group_commit.write(validated, known, _answer, alone)

    async def fill(self) -> list[asyncio.Task[Reply]]:
        """Begin as many transactions as run at a time: what follows waits."""
        first = [asyncio.create_task(self.write(f"first {n}")) for n in range(TRANSACTIONS)]
        await asyncio.sleep(0)
        return first


def _answer(ids: Sequence[int]) -> Reply:
    return Reply(2, msgspec.json.encode(list(ids)))


def ids_of(reply: Reply) -> list[int]:
    """The ids in a reply."""
    return msgspec.json.decode(reply.body, type=list[int])


async def find_rows(database: Database, path: str, ids: list[int]) -> list[Row]:
    """The rows of a table with these ids."""
    return await fetch_among(
        database.fetch, f"SELECT * FROM {by_path(path).name} WHERE id IN (%s)", ids
    )


async def names_of(database: Database, reply: Reply) -> list[str]:
    """The names under the ids of a reply, in their order."""
    found = await names(database)
    return [found[key] for key in ids_of(reply)]
