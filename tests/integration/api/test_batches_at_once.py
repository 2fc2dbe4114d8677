"""Batches that arrive at the same time get the replies that each would get alone."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import httpx
import msgspec
import pytest

from service.core.database.transactions import Database
from service.core.settings import Settings
from tests.support.hires import count, hire, names
from tests.support.serving import serving

pytestmark = pytest.mark.usefixtures("parents")

REQUESTS = 150


@pytest.fixture
async def many(migrated: Settings, database: Database) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an application that takes all of them at the same time."""
    async with serving(msgspec.structs.replace(migrated, api_max_batches=REQUESTS)) as client:
        yield client


async def test_by_default_32_clients_can_post_rows_at_the_same_time(
    client: httpx.AsyncClient,
) -> None:
    sent = (client.post("/employees", json=[hire()]) for _ in range(32))
    assert {reply.status_code for reply in await asyncio.gather(*sent)} == {201}


class Posted:
    """A batch of 1 to 6 rows, some of them wrong, and what its reply must be."""

    def __init__(self, source: random.Random, number: int):
        rows = range(source.randint(1, 6))
        bad = source.random() < 0.2
        wrong = [bad and source.random() < 0.5 for _ in rows]
        self.rows: list[dict[str, Any]] = [
            hire(name=f"{number}.{at}", job_id=source.choice([1, 2]))
            | ({} if not wrong[at] else source.choice([{"name": " "}, {"department_id": 77}]))
            for at in rows
        ]
        self.atomic = source.random() < 0.3
        self.dry_run = source.random() < 0.1
        self.key = f"key {number}" if source.random() < 0.5 else None
        refused = self.atomic and any(wrong)
        self.good = [not refused and not one for one in wrong]
        self.failed = sum(wrong)

    async def send(self, client: httpx.AsyncClient) -> httpx.Response:
        query = {"mode": "atomic" if self.atomic else "partial", "dry_run": str(self.dry_run)}
        headers = {"Idempotency-Key": self.key} if self.key else {}
        return await client.post(
            "/employees",
            params={name: value.lower() for name, value in query.items()},
            json=self.rows,
            headers=headers,
        )

    def check(self, reply: httpx.Response, found: dict[int, str]) -> int:
        """The number of its rows that are stored."""
        body, written = reply.json(), [good and not self.dry_run for good in self.good]
        stored = [None if key is None else found.pop(key) for key in body["ids"]]
        wanted = [row["name"] if one else None for row, one in zip(self.rows, written, strict=True)]
        assert stored == wanted
        assert (body["inserted"], body["failed"]) == (sum(written), self.failed)
        some, all_good = any(self.good), not self.failed
        status = 200 if self.dry_run else 201 if all_good else 207 if some else 422
        assert reply.status_code == status
        return sum(written)


@pytest.mark.parametrize("seed", range(4))
async def test_each_batch_gets_its_own_reply(
    many: httpx.AsyncClient, database: Database, seed: int
) -> None:
    source = random.Random(seed)
    posted = [Posted(source, number) for number in range(REQUESTS)]
    replies = await asyncio.gather(*(one.send(many) for one in posted))
    found = await names(database)
    total = len(found)
    assert sum(one.check(reply, found) for one, reply in zip(posted, replies, strict=True)) == total
    assert not found
    logged = sum(one.failed for one in posted if not one.dry_run)
    assert await count(database, "rejects") == logged
    keyed = [(one, reply) for one, reply in zip(posted, replies, strict=True) if one.key]
    again = await asyncio.gather(*(one.send(many) for one, _ in keyed))
    for (one, reply), repeated in zip(keyed, again, strict=True):
        assert repeated.json()["inserted"] == reply.json()["inserted"]
        assert one.dry_run or repeated.content == reply.content
        assert one.dry_run or "Idempotency-Replayed" in repeated.headers
    assert len(await names(database)) == total
    assert await count(database, "rejects") == logged


async def test_repetitions_at_the_same_time_write_once(
    many: httpx.AsyncClient, database: Database
) -> None:
    """Each of 30 requests arrives five times at once: it is done, replayed, or still busy."""
    source = random.Random(5)
    posted = [one for one in (Posted(source, n) for n in range(200)) if one.key][:30]
    for one in posted:
        one.dry_run = False
    sent = [one for one in posted for _ in range(5)]
    replies = await asyncio.gather(*(one.send(many) for one in sent))
    groups = [replies[at : at + 5] for at in range(0, len(replies), 5)]
    found = await names(database)
    total = len(found)
    for one, group in zip(posted, groups, strict=True):
        done = [reply for reply in group if reply.status_code != 409]
        assert done
        assert len({reply.content for reply in done}) == 1
        one.check(done[0], found)
    assert not found
    assert total == sum(sum(one.good) for one in posted)
