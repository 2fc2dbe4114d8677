"""Transactions begin with their first statement, on connections that keep this mode."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator

import msgspec
import pytest

from service.core.database.connect import connect
from service.core.database.driver import Connection
from service.core.database.transactions import Database
from service.core.errors import DuplicateError
from service.core.settings import Settings
from tests.support.departments import ADD

WRITTEN = "SELECT id FROM departments ORDER BY id"
MARIADB = "SELECT VERSION() LIKE '%%MariaDB%%'"


@pytest.fixture
async def pair(migrated: Settings) -> AsyncIterator[Database]:
    """A pool of two connections."""
    async with connect(msgspec.structs.replace(migrated, mysql_pool_size=2)) as database:
        yield database


@pytest.fixture
def modes(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """The changes of the mode of connections."""
    changes: list[bool] = []
    send = Connection._send_autocommit_mode

    async def count(connection: Connection) -> None:
        changes.append(connection.autocommit_mode)
        await send(connection)

    monkeypatch.setattr(Connection, "_send_autocommit_mode", count)
    return changes


@pytest.mark.parametrize("seed", range(10))
async def test_statements_and_transactions_do_not_mix(
    single: Database, database: Database, seed: int
) -> None:
    chance, expected = random.Random(seed), list[tuple[int]]()
    for number in range(1, 20):
        end = chance.choice(["statement", "commit", "error", "refusal", "cancellation"])
        if end == "statement":
            async with single.session(30) as session:
                await session.execute(ADD, (number, "x"))
        else:
            await _transaction(single, number, end)
        if end in ("statement", "commit"):
            expected.append((number,))
        assert await database.fetch(WRITTEN) == expected


async def _transaction(database: Database, number: int, end: str) -> None:
    try:
        async with database.transaction() as transaction:
            await transaction.execute(ADD, (number, "x"))
            if end == "error":
                raise ValueError
            if end == "refusal":
                await transaction.execute(ADD, (number, "x"))
            if end == "cancellation":
                raise asyncio.CancelledError
    except (ValueError, DuplicateError, asyncio.CancelledError):
        assert end != "commit"


async def test_a_later_transaction_sees_what_was_committed_meanwhile(
    single: Database, database: Database
) -> None:
    for number in range(1, 4):
        async with single.transaction() as transaction:
            assert len(await transaction.fetch(WRITTEN)) == number - 1
        async with database.transaction() as other:
            await other.execute(ADD, (number, "x"))


async def test_connections_keep_their_mode(pair: Database, modes: list[bool]) -> None:
    async with pair.transaction(), pair.session(30):
        pass  # both connections are open
    if (await pair.fetch(MARIADB))[0][0]:
        pytest.skip("MariaDB begins each transaction with BEGIN")
    modes.clear()
    for _ in range(5):
        await pair.fetch("SELECT 1")
        async with pair.transaction() as transaction:
            await transaction.fetch(WRITTEN)
    assert modes == []


async def test_a_connection_changes_its_mode_if_there_is_no_other(
    single: Database, modes: list[bool]
) -> None:
    if (await single.fetch(MARIADB))[0][0]:
        pytest.skip("MariaDB begins each transaction with BEGIN")
    modes.clear()
    for _ in range(2):
        async with single.transaction() as transaction:
            await transaction.fetch(WRITTEN)
    await single.fetch("SELECT 1")
    assert modes == [False, True]
