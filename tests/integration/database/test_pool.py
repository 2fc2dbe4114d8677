"""The pool: no waiter is lost, and no unusable connection is given out."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import msgspec
import pytest

from service.core.database import driver
from service.core.database.connect import connect
from service.core.database.servers import failover
from service.core.database.transactions import Database
from service.core.errors import UnavailableError
from service.core.settings import Settings
from tests.support import engine
from tests.support.tcp_proxy import Proxy

SLOW = "SELECT SLEEP(20)"


async def session(database: Database) -> int:
    """The server's id of the connection that the pool gives."""
    return int((await database.fetch("SELECT CONNECTION_ID()"))[0][0])


async def test_a_deadline_ends_the_query_and_its_connection(single: Database) -> None:
    before = await session(single)
    with pytest.raises(UnavailableError, match="in time"):
        async with single.transaction(0.2) as transaction:
            await transaction.fetch(SLOW)
    async with asyncio.timeout(5):
        assert await session(single) != before


async def test_a_killed_connection_is_unavailable(single: Database, database: Database) -> None:
    number = await session(single)

    async def run() -> None:
        async with single.session(30) as killed:
            await killed.fetch(SLOW)

    query = asyncio.create_task(run())
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
async def test_no_waiter_is_lost_whatever_happened_to_a_released_connection(
    single: Database, end: Callable[[Database], Awaitable[None]]
) -> None:
    holders = [asyncio.ensure_future(end(single)) for _ in range(3)]
    await asyncio.sleep(0)
    async with asyncio.timeout(40):
        sessions = await asyncio.gather(*(session(single) for _ in range(5)))
    assert all(sessions)
    await asyncio.gather(*holders, return_exceptions=True)


async def test_a_waiter_that_is_cancelled_when_served_does_not_block_the_next(
    single: Database,
) -> None:
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


async def test_no_waiter_is_lost_while_the_server_is_unreachable(
    proxy: Proxy, migrated: Settings
) -> None:
    settings = msgspec.structs.replace(engine.through(proxy, migrated), mysql_pool_size=1)
    async with connect(settings) as database:
        holder = await database.pool.acquire()
        waiters = [asyncio.create_task(database.ping()) for _ in range(3)]
        await asyncio.sleep(0.05)
        proxy.refusing = True
        holder.close()
        database.pool.release(holder)
        async with asyncio.timeout(5):
            ends = await asyncio.gather(*waiters, return_exceptions=True)
    assert all(isinstance(end, UnavailableError) for end in ends)


async def test_after_a_cut_the_next_query_gets_a_new_connection(
    proxy: Proxy, migrated: Settings
) -> None:
    async with connect(engine.through(proxy, migrated)) as database:
        await database.ping()
        proxy.cut()
        await asyncio.sleep(0.05)
        await database.ping()


async def test_waiters_are_served_in_order(single: Database) -> None:
    served: list[int] = []

    async def use(number: int) -> None:
        connection = await single.pool.acquire()
        served.append(number)
        await asyncio.sleep(0)
        if number % 3 == 0:
            connection.close()
        single.pool.release(connection)

    holder = await single.pool.acquire()
    waiters = [asyncio.create_task(use(number)) for number in range(10)]
    await asyncio.sleep(0)
    assert single.pool.waiting == 10
    single.pool.release(holder)
    async with asyncio.timeout(5):
        await asyncio.gather(*waiters)
    assert served == list(range(10))


async def test_a_waiter_gets_a_released_connection_while_the_server_is_silent(
    proxy: Proxy, migrated: Settings
) -> None:
    async with connect(engine.through(proxy, migrated)) as database:
        holder = await database.pool.acquire()
        proxy.stall()
        waiters = [asyncio.create_task(database.pool.acquire()) for _ in range(2)]
        await asyncio.sleep(0.05)
        async with asyncio.timeout(2):
            for waiter in waiters:
                database.pool.release(holder)
                assert await waiter is holder
        database.pool.release(holder)


async def test_a_cancelled_waiter_leaves_its_connection_to_the_next(
    proxy: Proxy, migrated: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failover, "PROBE_SECONDS", 100)
    async with connect(engine.through(proxy, migrated)) as database:
        await database.ping()
        holder = await database.pool.acquire()
        opened = proxy.accepted
        proxy.stall()
        for _ in range(5):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.02):
                    await database.pool.acquire()
        proxy.flow()
        other = await database.pool.acquire()
        assert proxy.accepted == opened + 1
        database.pool.release(holder)
        database.pool.release(other)


@pytest.mark.parametrize("stalled_at", [None, b"time_zone", b"VERSION"])
async def test_a_silent_server_is_skipped_even_if_requests_have_less_time(
    proxy: Proxy, migrated: Settings, monkeypatch: pytest.MonkeyPatch, stalled_at: bytes | None
) -> None:
    """Silent from the start, or as soon as a statement of the new connection arrives."""
    monkeypatch.setattr(driver, "CONNECT_SECONDS", 1.5)
    async with engine.proxy(migrated) as silent:
        if stalled_at:
            silent.stall_at(stalled_at, heard=False)
        else:
            silent.stall()
        hosts = f"127.0.0.1:{silent.port},127.0.0.1:{proxy.port}"
        settings = msgspec.structs.replace(
            engine.through(proxy, migrated), mysql_host=hosts, mysql_timeout=1
        )
        async with asyncio.timeout(10), connect(settings) as database:
            await database.ping()
        assert silent.accepted


async def test_terminating_a_pool_ends_queries_and_waiters(
    proxy: Proxy, migrated: Settings
) -> None:
    settings = msgspec.structs.replace(engine.through(proxy, migrated), mysql_pool_size=2)
    async with connect(settings) as database:
        query = asyncio.create_task(database.fetch(SLOW))
        await asyncio.sleep(0.2)
        proxy.stall()
        waiters = [asyncio.create_task(database.ping()) for _ in range(2)]
        await asyncio.sleep(0.05)
    async with asyncio.timeout(1):
        ends = await asyncio.gather(query, *waiters, return_exceptions=True)
    assert all(isinstance(end, UnavailableError) for end in ends)
    assert database.pool.size == database.pool.waiting == 0
    with pytest.raises(UnavailableError):
        await database.ping()
