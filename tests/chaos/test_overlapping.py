"""Concurrent writers of the same parents, and updates of these parents: all succeed."""

from __future__ import annotations

import asyncio
import random

import msgspec
import pytest

from service.core.database.statements import Transaction
from service.core.database.transactions import Database
from tests.support.hires import count, hire
from tests.support.load import Line, figures, in_turn, report, request, started
from tests.support.servers import Server
from tests.support.sizes import sized

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1200)]
WRITERS, ROWS = 8, 40
EACH = sized(short=25, full=625)


def shuffled(writer: int, number: int) -> bytes:
    """A request with hires of all parents in random order; half have an idempotency key."""
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


async def rename_parents(database: Database, done: list[int]) -> None:
    """Rename parents, several per transaction and in random order, until cancelled.

    Each transaction inserts rows first: a deadlock rolls back the transaction with fewer changes.
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
    renames: list[int] = []
    slowest = 0.0

    async def write(writer: int) -> None:
        nonlocal slowest
        line = Line(service.port)
        for number in range(EACH):
            reply = await line.send(shuffled(writer, number))
            assert reply.status == 201, reply.body
            slowest = max(slowest, reply.seconds)
        line.close()

    tasks = [asyncio.create_task(rename_parents(stocked, renames)) for _ in range(2)]
    try:
        await asyncio.gather(*(write(writer) for writer in range(WRITERS)))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    (metrics,) = await in_turn(service.port, request("GET", "/metrics"), 1)
    report(
        f"{WRITERS * EACH} overlapping batches",
        retries=figures(metrics.body)["hirebase_retries"],
        renames=len(renames),
        rename_retries=stocked.retries,
        slowest_s=slowest,
    )
    assert renames
    assert await count(stocked, "hired_employees") == WRITERS * EACH * ROWS
    assert (await service.end()).code == 0
