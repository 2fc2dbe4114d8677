"""The pool and its transactions, over a real wire: errors, deadlines, deadlocks, cut cables."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import msgspec
import pytest

from service.core import database as databases
from service.core.database import Database, Transaction
from service.core.errors import (
    ContentionError,
    DatabaseError,
    DataError,
    DuplicateError,
    MissingTableError,
    StaleParentError,
    UnavailableError,
)
from service.core.settings import Settings
from tests import engine
from tests.wire import Wire

ADD = "INSERT INTO departments (id, department) VALUES (%s, %s)"
RENAME = "UPDATE departments SET department = %s WHERE id = %s"
HIRE = (
    "INSERT INTO hired_employees (name, `datetime`, department_id, job_id) VALUES (%s, %s, %s, %s)"
)
SLOW = "SELECT SLEEP(20)"


@pytest.fixture
async def single(database: Database, migrated: Settings) -> AsyncIterator[Database]:
    """A pool of one connection, on empty tables."""
    settings = msgspec.structs.replace(migrated, mysql_pool_size=1)
    async with databases.connect(settings) as single:
        yield single


async def names(database: Database) -> list[str]:
    rows = await database.fetch("SELECT department FROM departments ORDER BY id")
    return [name for (name,) in rows]


async def session(database: Database) -> int:
    """The server's number of the connection that the pool gives now."""
    return int((await database.fetch("SELECT CONNECTION_ID()"))[0][0])


async def test_a_transaction_is_written_at_its_end(database: Database) -> None:
    async with database.transaction() as transaction:
        await transaction.execute(ADD, (1, "Sales"))
        assert await names(database) == []
    assert await names(database) == ["Sales"]


@pytest.mark.parametrize("error", [ValueError, asyncio.CancelledError, DataError])
async def test_an_error_undoes_the_transaction(
    database: Database, error: type[BaseException]
) -> None:
    async def work(transaction: Transaction) -> None:
        await transaction.execute(ADD, (1, "Sales"))
        raise error

    with pytest.raises(error):
        await database.run(work)
    assert await names(database) == []


async def test_a_refused_statement_undoes_what_came_before_it(database: Database) -> None:
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
async def test_what_the_server_refuses_has_a_name_and_its_cause(
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


async def test_others_commits_are_seen_inside_a_transaction(
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


async def test_a_deadline_ends_the_query_and_its_connection(single: Database) -> None:
    before = await session(single)
    with pytest.raises(UnavailableError, match="in time"):
        async with single.transaction(0.2) as transaction:
            await transaction.fetch(SLOW)
    async with asyncio.timeout(5):
        assert await session(single) != before


async def test_a_killed_connection_is_unavailable(single: Database, database: Database) -> None:
    number = await session(single)
    query = asyncio.create_task(single.fetch(SLOW))
    await asyncio.sleep(0.2)
    await database.fetch(f"KILL {number}")
    with pytest.raises(UnavailableError):
        await query
    assert await session(single) != number


async def test_a_cancelled_query_closes_its_connection(single: Database) -> None:
    before = await session(single)
    query = asyncio.create_task(single.fetch(SLOW))
    await asyncio.sleep(0.2)
    query.cancel()
    with pytest.raises(asyncio.CancelledError):
        await query
    async with asyncio.timeout(5):
        assert await session(single) != before


async def test_a_full_pool_is_unavailable_at_the_deadline(single: Database) -> None:
    async with single.transaction():
        with pytest.raises(UnavailableError):
            async with single.transaction(0.2):
                pytest.fail("there was a second connection")
    assert await session(single)


async def _refused(database: Database) -> None:
    async with database.transaction() as transaction:
        await asyncio.sleep(0.1)
        await transaction.execute("SELEC")


async def _late(database: Database) -> None:
    async with database.transaction(0.1) as transaction:
        await transaction.fetch(SLOW)


async def _cancelled(database: Database) -> None:
    query = asyncio.create_task(database.fetch(SLOW))
    await asyncio.sleep(0.1)
    query.cancel()
    await query


async def _left_in_a_transaction(database: Database) -> None:
    connection = await database.pool.acquire()
    await connection.begin()
    await asyncio.sleep(0.1)
    database.pool.release(connection)


async def _closed(database: Database) -> None:
    connection = await database.pool.acquire()
    await asyncio.sleep(0.1)
    connection.close()
    database.pool.release(connection)


@pytest.mark.parametrize("end", [_refused, _late, _cancelled, _left_in_a_transaction, _closed])
async def test_no_waiter_is_forgotten_however_a_connection_comes_back(
    single: Database, end: Callable[[Database], Awaitable[None]]
) -> None:
    holders = [asyncio.ensure_future(end(single)) for _ in range(3)]
    await asyncio.sleep(0)
    async with asyncio.timeout(40):
        sessions = await asyncio.gather(*(session(single) for _ in range(5)))
    assert all(sessions)
    await asyncio.gather(*holders, return_exceptions=True)


async def test_a_waiter_cancelled_as_it_is_woken_passes_the_wake_up_on(single: Database) -> None:
    holder = await single.pool.acquire()
    first, second = (asyncio.create_task(session(single)) for _ in range(2))
    await asyncio.sleep(0.05)
    holder.close()
    single.pool.release(holder)
    asyncio.get_running_loop().call_soon(first.cancel)
    async with asyncio.timeout(5):
        assert await second
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_no_waiter_is_forgotten_while_the_server_is_away(
    wire: Wire, migrated: Settings
) -> None:
    settings = msgspec.structs.replace(engine.over(wire, migrated), mysql_pool_size=1)
    async with databases.connect(settings) as database:
        holder = await database.pool.acquire()
        waiters = [asyncio.create_task(database.ping()) for _ in range(3)]
        await asyncio.sleep(0.05)
        wire.refusing = True
        holder.close()
        database.pool.release(holder)
        async with asyncio.timeout(5):
            ends = await asyncio.gather(*waiters, return_exceptions=True)
    assert [type(end) for end in ends] == [UnavailableError] * 3


async def test_after_a_cut_the_next_query_gets_a_new_connection(
    wire: Wire, migrated: Settings
) -> None:
    async with databases.connect(engine.over(wire, migrated)) as database:
        await database.ping()
        wire.cut()
        await asyncio.sleep(0.05)
        await database.ping()


async def test_a_cut_in_the_middle_is_unavailable_and_undone(
    wire: Wire, migrated: Settings, database: Database
) -> None:
    async def work(transaction: Transaction) -> None:
        await transaction.execute(ADD, (1, "Sales"))
        wire.cut()
        await transaction.execute(ADD, (2, "Legal"))

    async with databases.connect(engine.over(wire, migrated)) as cut:
        with pytest.raises(UnavailableError):
            await cut.run(work)
        await cut.ping()
    assert await names(database) == []


async def test_of_two_transactions_in_each_others_way_both_are_done(database: Database) -> None:
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


async def test_a_transaction_is_tried_again_only_after_contention(database: Database) -> None:
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


async def _add(database: Database, number: int, name: str) -> None:
    async with database.transaction() as transaction:
        await transaction.execute(ADD, (number, name))


async def test_the_deadline_is_one_for_all_attempts(migrated: Settings) -> None:
    attempts = []

    async def work(transaction: Transaction) -> None:
        attempts.append(1)
        await asyncio.sleep(0.4)
        raise ContentionError

    settings = msgspec.structs.replace(migrated, mysql_timeout=1)
    async with databases.connect(settings) as database:
        with pytest.raises(UnavailableError, match="in time"):
            async with asyncio.timeout(1.3):
                await database.run(work)
    assert 1 < len(attempts) <= 3
