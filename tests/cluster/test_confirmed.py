"""The next server tells exactly whether a COMMIT was done, even if it does not show it yet."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import msgspec
import pymysql
import pytest

from service.core.database import driver
from service.core.database.connect import connect
from service.core.database.statements import Transaction
from service.core.database.transactions import Database
from service.core.writes.idempotency import SQL, Key, Keys, Reply
from tests.cluster.loaded import stock
from tests.support.clusters import NODES, Cluster, Galera, GroupReplication

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

JOBS = "hirebase.jobs WHERE job = 'once'"
KEY = Key("user", "POST /jobs", "key", "fingerprint")
FILLER = "CREATE TABLE filler (id BIGINT NOT NULL PRIMARY KEY, text VARCHAR(255))"
FILL = (
    "INSERT INTO hirebase.filler SELECT a.i * 1000 + b.i, REPEAT('x', 200)"
    " FROM hirebase.numbers a CROSS JOIN hirebase.numbers b WHERE a.i < 300"
)
NUMBERS = (
    "INSERT INTO hirebase.numbers WITH RECURSIVE n AS"
    " (SELECT 0 i UNION ALL SELECT i + 1 FROM n WHERE i < 999) SELECT i FROM n"
)


async def write(transaction: Transaction) -> Reply:
    """A job that must be written once."""
    await transaction.execute("INSERT INTO jobs (job) VALUES ('once')")
    return Reply(201, b"written")


async def opened(stack: AsyncExitStack, cluster: Cluster, *nodes: int) -> Database:
    """Connections to these nodes."""
    hosts = ",".join(map(cluster.address, nodes))
    settings = msgspec.structs.replace(cluster.settings, mysql_host=hosts)
    return await stack.enter_async_context(connect(settings))


async def jobs(database: Database) -> Any:
    """How often the job is written."""
    return await database.fetch(f"SELECT COUNT(*) FROM {JOBS}")


@pytest.mark.parametrize("waits", [0, 1])
async def test_a_node_of_galera_that_lags(
    galera: Galera, monkeypatch: pytest.MonkeyPatch, waits: int
) -> None:
    """It applies a large transaction first, so it does not show the key that was committed.

    waits: wsrep_sync_wait, which the service sets to 1. The certification alone is enough.
    """
    monkeypatch.setitem(driver.SQL, "mariadb_session", f"SET SESSION wsrep_sync_wait = {waits}")
    await stock(galera.settings)
    await galera.sql(
        1,
        "USE hirebase",
        FILLER,
        "CREATE TABLE numbers (i INT NOT NULL PRIMARY KEY)",
        NUMBERS,
        seconds=60,
    )
    async with AsyncExitStack() as stack:
        one, other = [await opened(stack, galera, n) for n in (1, 2)]
        await other.ping()
        await galera.sql(1, FILL, seconds=100)
        first = await Keys(one, 1).once(KEY, write)
        shown = await other.fetch(SQL["find"], (KEY.digest,))
        again = await Keys(other, 1).once(KEY, write)
        if not waits:
            assert shown == [], "the node does not lag, so this test shows nothing"
            assert other.retries > 0
        assert (first.body, again.body, again.replayed) == (b"written", b"written", True)
        assert await jobs(one) == await jobs(other) == [(1,)]


async def test_a_new_primary_that_lags(group_replication: GroupReplication) -> None:
    """Even with EVENTUAL consistency it takes no writes before it has applied the last ones."""
    cluster = group_replication
    await stock(cluster.settings)
    primary = await cluster.primary()
    rest = [n for n in NODES if n != primary]
    await cluster.sql(primary, "USE hirebase", FILLER)
    for n in NODES:
        await cluster.sql(n, "SET GLOBAL group_replication_consistency = 'EVENTUAL'")
    async with AsyncExitStack() as stack:
        one = await opened(stack, cluster, primary)
        with Locks(cluster, rest) as locks:
            await cluster.sql(primary, "INSERT INTO hirebase.filler VALUES (1, '')")
            first = await Keys(one, 1).once(KEY, write)
            for n in rest:
                assert await cluster.sql(n, f"SELECT COUNT(*) FROM {JOBS}") == [(0,)]
            await cluster.kill(primary)
            repeated = asyncio.create_task(_repeat(stack, cluster, rest))
            await asyncio.sleep(10)
            locks.release()
            again, other = await repeated
        assert (first.body, again.body, again.replayed) == (b"written", b"written", True)
        assert await jobs(other) == [(1,)]


async def _repeat(
    stack: AsyncExitStack, cluster: Cluster, nodes: list[int]
) -> tuple[Reply, Database]:
    database = await opened(stack, cluster, *nodes)
    return await Keys(database, 1).once(KEY, write), database


class Locks:
    """Locks on `filler`, so that nodes apply no change of it, and nothing that follows."""

    def __init__(self, cluster: Cluster, nodes: list[int]):
        self._connections = [pymysql.connect(**cluster._root(n)) for n in nodes]

    def __enter__(self) -> Locks:
        self._run("LOCK TABLES hirebase.filler READ")
        return self

    def __exit__(self, *_: object) -> None:
        for connection in self._connections:
            connection.close()

    def release(self) -> None:
        self._run("UNLOCK TABLES")

    def _run(self, statement: str) -> None:
        for connection in self._connections:
            with connection.cursor() as cursor:
                cursor.execute(statement)
