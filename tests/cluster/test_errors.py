"""Errors that the nodes of a cluster send, provoked on the real servers, each of its kind."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import AsyncExitStack
from functools import partial

import msgspec
import pymysql
import pytest

from service.core.database.connect import connect
from service.core.database.error_numbers import translated_errors
from service.core.database.transactions import Database
from service.core.errors import (
    ContentionError,
    HirebaseError,
    NoConnectionError,
    ReadOnlyError,
    TransactionTooLarge,
    UnavailableError,
)
from tests.cluster.loaded import stock
from tests.support.clusters import NODES, Cluster, Galera, GroupReplication
from tests.support.waiting import until

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

RENAME = "UPDATE departments SET department = %s WHERE id = 1"
ADD_LONG = "INSERT INTO idempotency_keys VALUES (%s, '', '', '', '', 0, REPEAT('x', %s), NOW())"
LIMIT = "group_replication_transaction_size_limit"


async def opened(stack: AsyncExitStack, cluster: Cluster, n: int) -> Database:
    """Connections to one node only."""
    settings = msgspec.structs.replace(cluster.settings, mysql_host=cluster.address(n))
    database = await stack.enter_async_context(connect(settings))
    assert not database.several
    return database


async def raised(work: Awaitable[object]) -> tuple[type[HirebaseError], int]:
    """The kind of error and the number of the server that work ends with."""
    with pytest.raises(HirebaseError) as caught:
        await work
    cause = caught.value.__cause__
    while cause is not None and not isinstance(cause, pymysql.MySQLError):
        cause = cause.__cause__
    assert cause is not None
    return type(caught.value), cause.args[0]


async def rename(database: Database, name: str) -> None:
    """One attempt to write."""
    async with database.transaction() as transaction:
        await transaction.execute(RENAME, (name,))


async def test_a_primary_that_became_a_secondary_is_read_only(
    group_replication: GroupReplication,
) -> None:
    await stock(group_replication.settings)
    primary = await group_replication.primary()
    async with AsyncExitStack() as stack:
        database = await opened(stack, group_replication, primary)
        async with database.session(30) as session:
            await group_replication.switch_primary(1 + primary % len(NODES))
            assert await raised(session.execute(RENAME, ("x",))) == (ReadOnlyError, 1290)
        kind, number = await raised(rename(database, "x"))
        assert (issubclass(kind, UnavailableError), number) == (True, 1290)


async def test_a_commit_on_a_former_primary_was_certainly_not_done(
    group_replication: GroupReplication,
) -> None:
    """A switchover waits for transactions that run. Read-only by hand does not."""
    await stock(group_replication.settings)
    primary = await group_replication.primary()
    async with AsyncExitStack() as stack:
        database = await opened(stack, group_replication, primary)

        async def write() -> None:
            async with database.transaction() as transaction:
                await transaction.execute(RENAME, ("lost",))
                await group_replication.sql(primary, "SET GLOBAL super_read_only = ON")

        try:
            assert await raised(write()) == (ReadOnlyError, 1290)
        finally:
            await group_replication.sql(
                primary, "SET GLOBAL super_read_only = OFF", "SET GLOBAL read_only = OFF"
            )
        assert await _has_name(database, "departments 1")


async def test_a_server_in_offline_mode_is_left(group_replication: GroupReplication) -> None:
    await stock(group_replication.settings)
    primary = await group_replication.primary()
    async with AsyncExitStack() as stack:
        database = await opened(stack, group_replication, primary)
        await group_replication.sql(primary, "SET GLOBAL offline_mode = ON")
        try:
            kind, number = await raised(database.fetch("SELECT 1"))
            assert (kind, number) == (NoConnectionError, 3032)
        finally:
            await group_replication.sql(primary, "SET GLOBAL offline_mode = OFF")


async def test_the_limit_of_a_group_on_transactions(group_replication: GroupReplication) -> None:
    """Above the limit on keys the group says so; above that on bytes it gives no reason."""
    await stock(group_replication.settings)
    primary = await group_replication.primary()
    await group_replication.sql(primary, f"SET GLOBAL {LIMIT} = 20000")
    many = (
        "INSERT INTO departments (department) WITH RECURSIVE n AS"
        " (SELECT 1 i UNION ALL SELECT i + 1 FROM n WHERE i < 900) SELECT i FROM n"
    )
    try:
        async with AsyncExitStack() as stack:
            database = await opened(stack, group_replication, primary)

            async def write(statement: str, *parameters: object) -> None:
                async with database.transaction() as transaction:
                    for _ in range(5):
                        await transaction.execute(statement, parameters)

            for number, work in (
                (3231, write(many)),
                (3100, write(ADD_LONG.replace("%s", "UUID()", 1), 50_000)),
            ):
                kind, found = await raised(work)
                assert found == number
                assert issubclass(kind, TransactionTooLarge | UnavailableError)
                assert kind is TransactionTooLarge or number == 3100
    finally:
        await group_replication.sql(primary, f"SET GLOBAL {LIMIT} = DEFAULT")


async def test_two_primaries_that_change_the_same_row(group_replication: GroupReplication) -> None:
    await stock(group_replication.settings)
    await group_replication.sql(
        1, "SELECT group_replication_switch_to_multi_primary_mode()", seconds=60
    )
    try:
        for kind, number in await _conflict(group_replication):
            assert (kind, number in {1180, 1213, 3101}) == (ContentionError, True)
    finally:
        await group_replication.sql(
            1, "SELECT group_replication_switch_to_single_primary_mode()", seconds=60
        )


async def test_two_nodes_of_galera_that_change_the_same_row(galera: Galera) -> None:
    await stock(galera.settings)
    assert await _conflict(galera) == {(ContentionError, 1213)}


async def _conflict(cluster: Cluster) -> set[tuple[type[HirebaseError], int]]:
    """What a node raises if another one commits a change of the same row first."""
    found = set()
    async with AsyncExitStack() as stack:
        one, other = [await opened(stack, cluster, n) for n in (1, 2)]

        async def write(number: int) -> None:
            async with one.transaction() as transaction:
                await transaction.execute(RENAME, (f"one {number}",))
                await rename(other, f"other {number}")

        for number in range(5):
            found.add(await raised(write(number)))
            await until(partial(_has_name, one, f"other {number}"), 10)
    return found


async def _has_name(database: Database, name: str) -> bool:
    return await database.fetch("SELECT department FROM departments WHERE id = 1") == [(name,)]


async def test_a_node_of_galera_without_a_majority(galera: Galera) -> None:
    await stock(galera.settings)
    async with AsyncExitStack() as stack:
        database = await opened(stack, galera, 1)

        async def write_late() -> None:
            async with database.transaction() as transaction:
                await transaction.execute(RENAME, ("late",))
                await _lose_majority(galera)

        kind, _ = await raised(write_late())
        assert issubclass(kind, UnavailableError)
        for statement in ("SELECT * FROM departments", RENAME.replace("%s", "'x'")):
            assert await raised(_run_on(galera, 1, statement)) == (ReadOnlyError, 1047)
        kind, number = await raised(rename(database, "x"))
        assert (issubclass(kind, UnavailableError), number) == (True, 1047)


async def _run_on(cluster: Cluster, n: int, statement: str) -> None:
    """Run a statement as the service's user, but on a connection that nothing closes."""
    host, port = cluster.address(n).split(":")
    settings = cluster.settings
    with (
        translated_errors(),
        pymysql.connect(
            host=host,
            port=int(port),
            user=settings.mysql_user,
            password=settings.mysql_password,
            database=settings.mysql_database,
            init_command="SET wsrep_sync_wait = 0",
        ) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute(statement)


async def _lose_majority(galera: Galera) -> None:
    await asyncio.gather(galera.kill(2), galera.kill(3))
    await galera._until(1, lambda state: "non-Primary" in state, 30)


@pytest.mark.parametrize(
    ("name", "value", "number", "at_once"),
    [("wsrep_max_ws_size", 65536, 1105, 1), ("wsrep_max_ws_rows", 3, 1180, 5)],
)
async def test_the_limits_of_galera_on_transactions(
    galera: Galera, name: str, value: int, number: int, at_once: int
) -> None:
    await stock(galera.settings)
    ((usual,),) = await galera.sql(1, f"SELECT @@global.{name}")
    await galera.sql(1, f"SET GLOBAL {name} = {value}")
    try:
        async with AsyncExitStack() as stack:
            database = await opened(stack, galera, 1)

            async def write() -> None:
                async with database.transaction() as transaction:
                    for row in range(at_once):
                        await transaction.execute(ADD_LONG, (f"{row}", 200_000))

            assert await raised(write()) == (TransactionTooLarge, number)
            assert await database.fetch("SELECT COUNT(*) FROM idempotency_keys") == [(0,)]
    finally:
        await galera.sql(1, f"SET GLOBAL {name} = {usual}")


@pytest.mark.parametrize("kill", ["KILL {}", "KILL QUERY {}"])
async def test_a_killed_session_is_unavailable(cluster: Cluster, kill: str) -> None:
    await stock(cluster.settings)
    node = await cluster.writer()
    async with AsyncExitStack() as stack:
        database = await opened(stack, cluster, node)
        async with database.session(60) as session:
            ((number,),) = await session.fetch("SELECT CONNECTION_ID()")
            async with database.transaction() as other:
                await other.execute(RENAME, ("held",))
                waiting = asyncio.create_task(session.execute(RENAME, ("killed",)))
                await asyncio.sleep(0.5)
                await cluster.sql(node, kill.format(number))
                kind, _ = await raised(waiting)
                # Galera may report the end of the wait for the lock instead.
                assert kind in {UnavailableError, ContentionError}
