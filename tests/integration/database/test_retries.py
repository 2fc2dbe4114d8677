"""Work that the server rolled back, or whose connection was lost, is done again in time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import nullcontext

import msgspec
import pytest

from service.core.database import retry
from service.core.database.connect import connect
from service.core.database.statements import Transaction
from service.core.database.transactions import Database
from service.core.errors import (
    CommitUnknownError,
    ContentionError,
    DuplicateError,
    UnavailableError,
)
from service.core.settings import Settings
from tests.support import engine
from tests.support.commit_faults import faulty_commits
from tests.support.departments import ADD, SIGNAL, add, names
from tests.support.tcp_proxy import Proxy

RENAME = "UPDATE departments SET department = %s WHERE id = %s"


async def test_a_transaction_whose_connection_was_lost_is_repeated(
    proxy: Proxy, migrated: Settings, database: Database
) -> None:
    attempts = []

    async def work(transaction: Transaction) -> None:
        attempts.append(await transaction.execute(ADD, (1, "Sales")))
        if len(attempts) == 1:
            proxy.cut()
        await transaction.execute(ADD, (2, "Legal"))

    async with connect(engine.through(proxy, migrated)) as cut:
        await cut.run(work)
    assert len(attempts) == 2
    assert await names(database) == ["Sales", "Legal"]


async def test_a_transaction_whose_connection_is_lost_again_and_again_is_unavailable(
    proxy: Proxy, migrated: Settings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "FAILOVER_SECONDS", 1)
    attempts = []

    async def work(transaction: Transaction) -> None:
        attempts.append(await transaction.execute(ADD, (1, "Sales")))
        proxy.cut()
        await transaction.execute(ADD, (2, "Legal"))

    async with connect(engine.through(proxy, migrated)) as cut:
        began = time.monotonic()
        with pytest.raises(UnavailableError):
            await cut.run(work)
        assert 1 <= time.monotonic() - began < 4
        assert len(attempts) > 1
        await cut.ping()
    assert await names(database) == []


async def test_a_query_whose_connection_was_lost_is_repeated(
    proxy: Proxy, migrated: Settings
) -> None:
    async with connect(engine.through(proxy, migrated)) as cut:
        query = asyncio.create_task(cut.fetch("SELECT SLEEP(0.5)"))
        await asyncio.sleep(0.2)
        proxy.cut()
        assert await query == [(0,)]
        assert cut.retries == 1


async def test_a_transaction_with_an_unconfirmed_commit_is_repeated_only_if_idempotent(
    migrated: Settings, database: Database
) -> None:
    async def work(transaction: Transaction) -> None:
        again = f"{ADD} ON DUPLICATE KEY UPDATE id = VALUES(id)"
        attempts.append(await transaction.execute(again, (1, "Sales")))

    async with faulty_commits(migrated) as (settings, commits), connect(settings) as away:
        for idempotent, tries in ((True, 2), (False, 1)):
            attempts: list[int] = []
            commits.faults = ["committed"]
            with nullcontext() if idempotent else pytest.raises(CommitUnknownError):
                await away.run(work, idempotent=idempotent)
            assert len(attempts) == tries


async def test_two_transactions_in_a_deadlock_are_both_done(database: Database) -> None:
    for number in (1, 2):
        await add(database, number, "old")
    attempts: list[str] = []
    met = asyncio.Barrier(2)

    def work(name: str, first: int, second: int) -> Callable[[Transaction], Awaitable[None]]:
        async def run(transaction: Transaction) -> None:
            attempts.append(name)
            await transaction.execute(RENAME, (name, first))
            if len(attempts) <= 2:
                await met.wait()
            await transaction.execute(RENAME, (name, second))

        return run

    async with asyncio.timeout(60):
        await asyncio.gather(database.run(work("a", 1, 2)), database.run(work("b", 2, 1)))
    assert len(attempts) > 2
    assert await names(database) in (["a", "a"], ["b", "b"])


async def test_a_transaction_is_repeated_only_after_contention(database: Database) -> None:
    attempts = []

    async def work(transaction: Transaction) -> int:
        attempts.append(await transaction.execute(ADD, (1, "Sales")))
        if len(attempts) < 3:
            raise ContentionError
        return len(attempts)

    assert await database.run(work) == 3
    assert await names(database) == ["Sales"]
    with pytest.raises(DuplicateError):
        await database.run(work)
    assert len(attempts) == 3


@pytest.mark.parametrize(
    "number", [1205, 1213, 3101, 8022, 4383, 6002, 1047, 1053, 1290, 1836, 1927, 3100, 3797]
)
async def test_a_transaction_that_the_server_rolled_back_is_repeated(
    database: Database, number: int
) -> None:
    attempts = []

    async def work(transaction: Transaction) -> None:
        attempts.append(await transaction.execute(ADD, (1, "Sales")))
        if len(attempts) < 3:
            await transaction.execute(SIGNAL.format(number))

    await database.run(work)
    assert len(attempts) == 3
    assert await names(database) == ["Sales"]


async def test_all_attempts_share_one_deadline(migrated: Settings) -> None:
    attempts = []

    async def work(transaction: Transaction) -> None:
        attempts.append(1)
        await asyncio.sleep(0.4)
        raise ContentionError

    settings = msgspec.structs.replace(migrated, mysql_timeout=1)
    async with connect(settings) as database:
        with pytest.raises(UnavailableError, match="in time"):
            # Attempts measure the time: this only ends a test that would not end.
            async with asyncio.timeout(30):
                await database.run(work)
    assert 1 < len(attempts) <= 3


async def test_after_the_deadline_nothing_is_committed(database: Database) -> None:
    async def work(transaction: Transaction) -> None:
        await transaction.execute(ADD, (1, "Sales"))
        _block(0.6)

    with pytest.raises(UnavailableError, match="in time"):
        await database.run(work, 0.5)
    assert await names(database) == []


def _block(seconds: float) -> None:
    """Work without an await, which no timer interrupts."""
    time.sleep(seconds)


async def test_the_deadline_limits_the_attempts(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "MAX_BACKOFF_SECONDS", 0.001)
    attempts = []

    async def work(transaction: Transaction) -> None:
        attempts.append(await transaction.execute(RENAME, ("Sales", 1)))
        if len(attempts) < 60:
            raise ContentionError

    await database.run(work)
    assert len(attempts) == 60
    attempts.clear()
    with pytest.raises(UnavailableError, match="too long"):
        await database.run(work, attempts=3)
    assert len(attempts) == 3
