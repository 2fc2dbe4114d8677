"""Transactions: errors, deadlines, deadlocks, lost connections."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import nullcontext

import msgspec
import pytest

from service.core.database import retry
from service.core.database.connect import connect
from service.core.database.driver import Connection
from service.core.database.statements import Transaction
from service.core.database.transactions import Database
from service.core.errors import (
    CommitUnknownError,
    ContentionError,
    DatabaseError,
    DataError,
    DuplicateError,
    MissingTableError,
    StaleParentError,
    UnavailableError,
)
from service.core.settings import Settings
from tests.support import engine
from tests.support.commit_faults import faulty_commits
from tests.support.tcp_proxy import Proxy

ADD = "INSERT INTO departments (id, department) VALUES (%s, %s)"
RENAME = "UPDATE departments SET department = %s WHERE id = %s"
HIRE = (
    "INSERT INTO hired_employees (name, `datetime`, department_id, job_id) VALUES (%s, %s, %s, %s)"
)
SLOW = "SELECT SLEEP(20)"
SIGNAL = "SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = {}"


async def names(database: Database) -> list[str]:
    rows = await database.fetch("SELECT department FROM departments ORDER BY id")
    return [name for (name,) in rows]


async def test_a_transaction_is_written_at_its_end(database: Database) -> None:
    async with database.transaction() as transaction:
        await transaction.execute(ADD, (1, "Sales"))
        assert await names(database) == []
    assert await names(database) == ["Sales"]


@pytest.mark.parametrize("error", [ValueError, asyncio.CancelledError, DataError])
async def test_an_error_rolls_back_the_transaction(
    database: Database, error: type[BaseException]
) -> None:
    async def work(transaction: Transaction) -> None:
        await transaction.execute(ADD, (1, "Sales"))
        raise error

    with pytest.raises(error):
        await database.run(work)
    assert await names(database) == []


async def test_a_refused_statement_rolls_back_earlier_statements(database: Database) -> None:
    async def work(transaction: Transaction) -> None:
        await transaction.execute(ADD, (1, "Sales"))
        await transaction.execute(ADD, (1, "Legal"))

    with pytest.raises(DuplicateError):
        await database.run(work)
    assert await names(database) == []


@pytest.mark.parametrize(
    ("statement", "parameters", "kind"),
    [
        (ADD, (1, "x" * 256), DataError),
        (ADD, (2**31, "x"), DataError),
        (HIRE, ("x", "2021-02-30T00:00:00", 1, 1), DataError),
        (HIRE, ("x", "0000-00-00T00:00:00", 1, 1), DataError),
        (HIRE, ("x", "2021-01-01T00:00:00", 1, 1), StaleParentError),
        ("SELECT * FROM no_such_table", (), MissingTableError),
        ("SELEC", (), DatabaseError),
    ],
)
async def test_an_error_of_the_server_has_its_class_and_cause(
    database: Database, statement: str, parameters: tuple[object, ...], kind: type[DatabaseError]
) -> None:
    with pytest.raises(DatabaseError) as caught:
        async with database.transaction() as transaction:
            await transaction.execute(statement, parameters)
    assert type(caught.value) is kind
    assert caught.value.__cause__ is not None
    assert str(caught.value.__cause__.args[0]) in str(caught.value)
    assert "departments" not in str(caught.value)


async def test_every_connection_is_utc_strict_and_utf8mb4(database: Database) -> None:
    ((zone, mode, charset),) = await database.fetch(
        "SELECT @@session.time_zone, @@session.sql_mode, @@session.character_set_connection"
    )
    assert (zone, charset) == ("+00:00", "utf8mb4")
    assert {"STRICT_ALL_TABLES", "NO_ZERO_DATE", "NO_ZERO_IN_DATE"} <= set(mode.split(","))


@pytest.mark.parametrize(
    "default",
    [
        "time_zone = '+05:00'",
        "sql_mode = ''",
        "group_concat_max_len = 4",
        "foreign_key_checks = 0",
        "unique_checks = 0",
        "sql_select_limit = 1",
    ],
)
async def test_defaults_that_would_change_results_have_no_effect(
    database: Database, migrated: Settings, monkeypatch: pytest.MonkeyPatch, default: str
) -> None:
    """An operator may set them for a while, for example to import data; sessions inherit them."""
    name, set_up = default.split(maxsplit=1)[0], Connection._set_up

    async def inherit(self: Connection) -> None:
        await self.query(f"SET SESSION {default}")
        await set_up(self)

    ((usual,),) = await database.fetch(f"SELECT @@session.{name}")
    monkeypatch.setattr(Connection, "_set_up", inherit)
    async with connect(migrated) as other:
        assert await other.fetch(f"SELECT @@session.{name}") == [(usual,)]
        with pytest.raises(StaleParentError):
            async with other.transaction() as transaction:
                await transaction.execute(HIRE, ("x", "2021-07-27T16:02:08", 77, 77))
        assert len(await other.fetch("SELECT 1 UNION ALL SELECT 2")) == 2


async def test_a_transaction_sees_commits_of_other_transactions(
    database: Database, single: Database
) -> None:
    async with single.snapshot(30):
        pass
    async with single.transaction() as transaction:
        await transaction.fetch("SELECT COUNT(*) FROM departments")
        await _add(database, 1, "Sales")
        assert await transaction.fetch("SELECT COUNT(*) FROM departments") == [(1,)]


async def test_a_snapshot_sees_one_moment_and_writes_nothing(database: Database) -> None:
    await _add(database, 1, "Sales")
    async with database.snapshot(30) as snapshot:
        await _add(database, 2, "Legal")
        assert await snapshot.fetch("SELECT COUNT(*) FROM departments") == [(1,)]
        with pytest.raises(DatabaseError):
            await snapshot.execute(ADD, (3, "Audit"))
    assert await names(database) == ["Sales", "Legal"]


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
        await _add(database, number, "old")
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


async def _add(database: Database, number: int, name: str) -> None:
    async with database.transaction() as transaction:
        await transaction.execute(ADD, (number, name))


async def test_all_attempts_share_one_deadline(migrated: Settings) -> None:
    attempts = []

    async def work(transaction: Transaction) -> None:
        attempts.append(1)
        await asyncio.sleep(0.4)
        raise ContentionError

    settings = msgspec.structs.replace(migrated, mysql_timeout=1)
    async with connect(settings) as database:
        with pytest.raises(UnavailableError, match="in time"):
            async with asyncio.timeout(1.3):
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
