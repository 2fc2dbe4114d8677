"""Writers in each other's way, and others that touch the parents of their rows: all get through."""

from __future__ import annotations

import asyncio
import random

import msgspec
import pytest

from service.core.database.transactions import Database, Transaction
from tests.support.hires import count, hire
from tests.support.load import Line, figures, in_turn, report, request, started
from tests.support.servers import Server
from tests.support.sizes import sized

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1200)]
WRITERS, ROWS = 8, 40
EACH = sized(short=25, full=625)


def shuffled(writer: int, number: int) -> bytes:
    """Hires whose parents are all the parents there are, in any order; half have a key."""
    rows = [
        hire(
            name=f"{writer}-{number}-{at}",
            department_id=random.randint(1, 12),
            job_id=random.randint(1, 12),
        )
        for at in range(ROWS)
    ]
    key = {"idempotency_key": f"{writer}-{number}"} if number % 2 else {}
    return request("POST", "/employees", msgspec.json.encode(rows), **key)


async def touch(database: Database, done: list[int]) -> None:
    """Rename parents, several in a transaction and in any order, until cancelled.

    They write new ones first: of two in a deadlock, the one that has written less is undone.
    """

    async def rename(transaction: Transaction) -> None:
        await transaction.insert("INSERT INTO jobs (job) VALUES (%s)", [("new",)] * 100)
        for number in random.sample(range(1, 13), 4):
            table, column = random.choice([("departments", "department"), ("jobs", "job")])
            statement = f"UPDATE {table} SET {column} = %s WHERE id = %s"
            await transaction.execute(statement, (f"{random.random()}", number))

    while True:
        await database.run(rename)
        done.append(1)
        await asyncio.sleep(0.01)


async def test_no_deadlock_reaches_a_client(server: Server, stocked: Database) -> None:
    service = await started(server.settings)
    touched: list[int] = []
    slowest = 0.0

    async def write(writer: int) -> None:
        nonlocal slowest
        line = Line(service.port)
        for number in range(EACH):
            reply = await line.send(shuffled(writer, number))
            assert reply.status == 201, reply.body
            slowest = max(slowest, reply.seconds)
        line.close()

    touchers = [asyncio.create_task(touch(stocked, touched)) for _ in range(2)]
    try:
        await asyncio.gather(*(write(writer) for writer in range(WRITERS)))
    finally:
        for toucher in touchers:
            toucher.cancel()
        await asyncio.gather(*touchers, return_exceptions=True)
    (metrics,) = await in_turn(service.port, request("GET", "/metrics"), 1)
    report(
        f"{WRITERS * EACH} overlapping batches",
        retries=figures(metrics.body)["hirebase_retries"],
        renames=len(touched),
        renames_again=stocked.retries,
        slowest_s=slowest,
    )
    assert touched
    assert await count(stocked, "hired_employees") == WRITERS * EACH * ROWS
    assert (await service.end()).code == 0
