"""The pool under random schedules of acquire, release, close, cancel and failed connects."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress

import pymysql
import pytest

from service.core.database.pool import Pool
from service.core.database.servers.failover import Servers
from service.core.settings import Settings
from tests.support import engine
from tests.support.tcp_proxy import Proxy
from tests.support.waiting import until_idle

SCHEDULES = 250
TASKS = 8


@pytest.mark.parametrize("size", [1, 2, 3, 5])
async def test_random_schedules_leave_the_pool_consistent(
    proxy: Proxy, migrated: Settings, size: int
) -> None:
    over = engine.through(proxy, migrated)
    pool = Pool(
        size,
        Servers([{"host": "127.0.0.1", "port": proxy.port}]),
        user=over.mysql_user,
        password=over.mysql_password,
    )
    try:
        for seed in range(SCHEDULES):
            chance = random.Random(seed)
            tasks = [asyncio.create_task(_use(pool, chance)) for _ in range(TASKS)]
            async with asyncio.timeout(10):
                await _disturb(proxy, pool, tasks, chance)
                await _check(pool)
    finally:
        pool.terminate()
        await pool.wait_closed()


async def _check(pool: Pool) -> None:
    """All connections of the pool can be acquired."""
    assert pool.waiting == 0
    await until_idle(pool)
    connections = [await pool.acquire() for _ in range(pool.maxsize)]
    assert (pool.size, pool.freesize) == (pool.maxsize, 0)
    for connection in connections:
        pool.release(connection)


async def _disturb(
    proxy: Proxy, pool: Pool, tasks: list[asyncio.Task[None]], chance: random.Random
) -> None:
    """Cancel some of the tasks, and refuse some of the connections, until all tasks end."""
    while not all(task.done() for task in tasks):
        await asyncio.sleep(chance.choice((0, 0, 0.001)))
        proxy.refusing = chance.random() < 0.1
        if chance.random() < 0.1:
            chance.choice(tasks).cancel()
        assert pool.size <= pool.maxsize
    proxy.refusing = False
    for task in tasks:
        assert task.cancelled() or isinstance(task.exception(), pymysql.OperationalError | None)


async def _use(pool: Pool, chance: random.Random) -> None:
    for _ in range(3):
        await asyncio.sleep(0)
        connection = await pool.acquire()
        try:
            assert not connection.closed
            for _ in range(chance.randint(0, 5)):
                await asyncio.sleep(0)
            if chance.random() < 0.2:
                connection.close()
            elif chance.random() < 0.2:
                with suppress(pymysql.OperationalError):
                    await connection.begin()
        finally:
            pool.release(connection)
