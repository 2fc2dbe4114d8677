"""Connections go to a server that takes writes and belongs to the majority, and leave it else."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import msgspec
import pytest

from service.core.database.connect import NO_GRANT, connect
from service.core.database.transactions import Database
from service.core.errors import DatabaseError, UnavailableError
from tests.support.clusters import NODES, Cluster, Galera, GroupReplication
from tests.support.waiting import until

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]
SIZE = 4
TABLE = "CREATE TABLE IF NOT EXISTS notes (id INT PRIMARY KEY AUTO_INCREMENT, note TEXT)"
ADD = "INSERT INTO notes (note) VALUES ('x')"
NOTICED = 4.0
"""Seconds for a probe of a server that answers, on a busy machine."""
SUSPECTED = 10.0
"""Seconds until a node without the others knows that they are away."""


@asynccontextmanager
async def connected(cluster: Cluster, first: int) -> AsyncIterator[Database]:
    """A pool with idle connections. It prefers a node."""
    hosts = [cluster.address(first), *(cluster.address(n) for n in NODES if n != first)]
    settings = msgspec.structs.replace(
        cluster.settings, mysql_host=",".join(hosts), mysql_pool_size=SIZE
    )
    async with connect(settings) as database:
        async with database.session(5) as session:
            await session.execute(TABLE)
        await fill(database)
        yield database


async def fill(database: Database) -> set[int]:
    """Make all connections of the pool idle; the ports that they lead to."""
    held = await asyncio.gather(*(database.pool.acquire() for _ in range(SIZE)))
    for one in held:
        database.pool.release(one)
    return {one.port for one in held}


async def add(database: Database, seconds: float = 30) -> None:
    async with database.transaction(seconds) as transaction:
        await transaction.execute(ADD)


async def until_left(database: Database, seconds: float) -> float:
    """Wait, without any request, until the pool has no connection."""

    async def is_empty() -> bool:
        return database.pool.size == 0

    return await until(is_empty, seconds)


async def test_idle_connections_leave_a_former_primary(
    group_replication: GroupReplication,
) -> None:
    former = await group_replication.primary()
    new = former % len(NODES) + 1
    async with connected(group_replication, former) as database:
        assert await fill(database) == {group_replication.ports[former]}
        await group_replication.switch_primary(new)
        await until_left(database, NOTICED)
        await add(database)
        assert await fill(database) == {group_replication.ports[new]}
        # Nothing moves if the preferred server is the primary again: the old one is left.
        await group_replication.switch_primary(former)
        await until_left(database, NOTICED)
        assert await fill(database) == {group_replication.ports[former]}


async def test_a_query_on_a_former_primary_ends_normally(
    group_replication: GroupReplication,
) -> None:
    """A transaction would delay the switchover."""
    former = await group_replication.primary()
    async with connected(group_replication, former) as database, database.session(60) as session:
        query = asyncio.create_task(session.fetch("SELECT SLEEP(15), @@port"))
        await asyncio.sleep(1)
        await group_replication.switch_primary(former % len(NODES) + 1)
        await asyncio.sleep(NOTICED)
        await add(database)
        assert not query.done()
        assert await query == [(0, group_replication.ports[former])]


async def test_a_server_outside_of_its_group_is_not_used(
    group_replication: GroupReplication,
) -> None:
    """It is writable, and its rows would be lost."""
    outside = await group_replication.primary()
    await group_replication.kill(outside)
    await asyncio.to_thread(group_replication._nodes[outside].start)
    assert await until(lambda: _is_writable(group_replication, outside), 60)
    async with connected(group_replication, outside) as database:
        await add(database)
        assert group_replication.ports[outside] not in await fill(database)


async def _is_writable(cluster: Cluster, n: int) -> bool:
    with suppress(Exception):
        return await cluster.sql(n, "SELECT @@read_only") == [(0,)]
    return False


async def test_a_primary_without_the_majority_is_left(
    group_replication: GroupReplication,
) -> None:
    """It stays writable for ever by default, and its COMMITs hang."""
    primary = await group_replication.primary()
    endless = "SET GLOBAL group_replication_unreachable_majority_timeout = {}"
    await group_replication.sql(primary, endless.format(0))
    others = [n for n in NODES if n != primary]
    try:
        async with connected(group_replication, primary) as database:
            await asyncio.gather(*map(group_replication.pause, others))
            began = time.monotonic()
            with pytest.raises(UnavailableError):
                await add(database, 60)
            assert time.monotonic() - began < SUSPECTED + NOTICED
            with pytest.raises(UnavailableError):
                await database.ping()
            assert database.pool.size == 0
            await asyncio.gather(*map(group_replication.unpause, others))
            await until(lambda: _takes_writes(database), 60)
    finally:
        await group_replication.sql(primary, endless.format(5))


async def _takes_writes(database: Database) -> bool:
    with suppress(DatabaseError):
        await add(database)
        return True
    return False


async def test_a_node_without_the_majority_is_left(galera: Galera) -> None:
    async with connected(galera, 1) as database:
        await asyncio.gather(galera.pause(2), galera.pause(3))
        await until_left(database, SUSPECTED + NOTICED)
        with pytest.raises(UnavailableError):
            await database.ping()
        await asyncio.gather(galera.unpause(2), galera.unpause(3))
        await until(lambda: _takes_writes(database), 60)


async def test_a_process_uses_one_node_at_a_time_and_a_new_one_prefers_the_first(
    galera: Galera,
) -> None:
    """If a process used two, it would not find on one what it has just written on the other."""
    async with connected(galera, 1) as database:
        await galera.kill(1)
        await add(database)
        assert await fill(database) == {galera.ports[2]}
        await galera.start(1)
        await galera.wait_healthy()
        # Node 2 may have been the donor, and with rsync a donor blocks.
        assert len(await fill(database)) == 1
        async with connected(galera, 1) as later:
            assert await fill(later) == {galera.ports[1]}


async def test_a_node_that_waits_for_a_frozen_one_is_not_silent(galera: Galera) -> None:
    """Its COMMITs wait until the others have removed the frozen node."""
    slow = (
        "SET GLOBAL wsrep_provider_options = 'evs.suspect_timeout=PT{0}S;evs.inactive_timeout={1}'"
    )
    for n in NODES:
        await galera.sql(n, slow.format(10, "PT12S"))
    try:
        async with connected(galera, 1) as database:
            await galera.pause(3)
            began = time.monotonic()
            await asyncio.gather(*(add(database) for _ in range(SIZE)))
            assert time.monotonic() - began > 5
            assert await fill(database) == {galera.ports[1]}
    finally:
        await galera.unpause(3)
        await galera.wait_healthy()
        await suspect_after(galera, 2)


async def suspect_after(galera: Galera, seconds: int) -> None:
    """Let the nodes remove a node that is silent for so long."""
    options = f"evs.suspect_timeout=PT{seconds}S;evs.inactive_timeout=PT{2 * seconds}S"
    for n in NODES:
        await galera.sql(n, f"SET GLOBAL wsrep_provider_options = '{options}'")


async def test_a_login_that_cannot_see_the_group_is_warned_about(
    group_replication: GroupReplication, caplog: pytest.LogCaptureFixture
) -> None:
    async with connect(group_replication.settings):
        assert NO_GRANT not in caplog.messages
    await group_replication.sql(
        await group_replication.primary(),
        "CREATE USER blind@'%' IDENTIFIED BY 'blind-pass-1'",
        "GRANT ALL ON hirebase.* TO blind@'%'",
    )
    blind = msgspec.structs.replace(
        group_replication.settings, mysql_user="blind", mysql_password="blind-pass-1"
    )
    async with connect(blind):
        assert NO_GRANT in caplog.messages
