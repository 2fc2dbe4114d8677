"""The clusters of the tests do what the tests rely on."""

from __future__ import annotations

import pytest

from service.core.database.connect import connect
from service.core.database.migrations import migrate
from tests.support.clusters import NODES, Cluster, Galera, GroupReplication

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]


async def test_a_killed_and_a_frozen_node_come_back(cluster: Cluster) -> None:
    async with connect(cluster.settings) as database:
        await migrate(database)
    await cluster.kill(3)
    assert (await cluster.status())[3] == "away"
    await cluster.start(3)
    await cluster.wait_healthy()
    await cluster.pause(2)
    assert (await cluster.status())[2] == "away"
    await cluster.heal()
    for n in NODES:
        ((tables,),) = await cluster.sql(
            n, "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = 'hirebase'"
        )
        assert tables


async def test_the_primary_is_switched(group_replication: GroupReplication) -> None:
    chosen = 1 + await group_replication.primary() % len(NODES)
    await group_replication.switch_primary(chosen)
    assert await group_replication.primary() == chosen


async def test_a_survivor_is_bootstrapped(galera: Galera) -> None:
    await galera.kill(2)
    await galera.kill(3)
    while not (await galera.status())[1].endswith("Primary of 1"):
        if "non-Primary" in (await galera.status())[1]:
            await galera.bootstrap(1)
    await galera.heal()
