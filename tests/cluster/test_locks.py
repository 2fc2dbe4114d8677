"""On clusters, a lock on one node binds no other node, and a node may know less than another."""

from __future__ import annotations

import asyncio
from functools import partial

import msgspec
import pymysql
import pytest

from service.core.backups.staged.definition import definition_of
from service.core.backups.staged.lock import locked
from service.core.database.connect import connect
from service.core.database.migrations import migrate
from service.core.database.statements import Transaction
from service.core.errors import ContentionError, UnavailableError
from service.core.rules import batch
from service.core.tables import by_path
from service.core.writes.parents import LOCKED_ROWS, check_parents
from tests.cluster.loaded import in_turn
from tests.support.clusters import Cluster, Galera
from tests.support.hires import add_parents, hire

pytestmark = [pytest.mark.cluster, pytest.mark.short, pytest.mark.timeout(300)]


async def test_a_cluster_checks_the_parents_of_each_row(cluster: Cluster) -> None:
    body = msgspec.json.encode([hire() for _ in range(LOCKED_ROWS)])
    validated = batch.from_json(by_path("employees"), body)

    async def check(transaction: Transaction) -> None:
        await check_parents(transaction, validated)

    async with connect(cluster.settings) as database:
        await migrate(database)
        await add_parents(database, range(1, 2))
        await database.run(check)
    assert validated.rejects == []
    assert not validated.parents_locked


async def test_a_node_that_is_behind_shows_no_old_definition(galera: Galera) -> None:
    """A restore that continues there would take its table for missing, and forget its chunks."""
    here, there = in_turn(galera.settings, 2)
    async with connect(here) as database, connect(there) as other:
        with pymysql.connect(**galera._root(2), autocommit=True) as root:
            # Nothing can be applied while this lock is held.
            root.cursor().execute("FLUSH TABLES WITH READ LOCK")
            await database.fetch("CREATE TABLE made_here (id INT PRIMARY KEY)")
            asking = asyncio.create_task(definition_of(other, "made_here"))
            await asyncio.wait([asking], timeout=1)
        assert (await asking).next_id == 1


async def test_a_restore_does_not_wait_for_the_lease_of_its_last_attempt(galera: Galera) -> None:
    """Its node was lost. The lease of another restore is waited for."""

    async def lost() -> None:
        raise UnavailableError("lost")

    async with connect(galera.settings) as database:
        await migrate(database)
        with pytest.raises(UnavailableError):
            await locked(database, lost, "own")
        with pytest.raises(ContentionError):
            await locked(database, partial(asyncio.sleep, 0), "other")
        await locked(database, partial(asyncio.sleep, 0), "own")
        await locked(database, partial(asyncio.sleep, 0), "other")
