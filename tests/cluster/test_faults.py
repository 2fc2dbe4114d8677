"""Nodes are killed, frozen and restarted under load: nothing is lost, and writes go on soon."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.cluster.loaded import BATCHES, BUSY, Loaded, measure
from tests.support.clusters import NODES, Cluster, Galera, GroupReplication
from tests.support.sizes import sized

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]
FROZEN = sized(short=15, full=30)
"""The seconds that a node is frozen at least."""


async def kill_the_writer(loaded: Loaded) -> None:
    cluster = loaded.cluster
    killed = await cluster.in_use()
    await cluster.kill(killed)
    await loaded.work()
    await cluster.start(killed)


async def freeze_the_writer(loaded: Loaded) -> None:
    frozen = await loaded.cluster.in_use()
    await loaded.cluster.pause(frozen)
    await asyncio.gather(loaded.work(), asyncio.sleep(FROZEN))
    await loaded.cluster.unpause(frozen)


async def restart_all(loaded: Loaded) -> None:
    for n in NODES:
        await loaded.cluster.stop(n)
        await loaded.work(BATCHES // 5)
        await loaded.cluster.start(n)
        await loaded.cluster.wait_healthy()
        await loaded.work(BATCHES // 5)


@pytest.mark.short
async def test_the_primary_is_killed(group_replication: GroupReplication) -> None:
    await measure(group_replication, "primary killed with -9", kill_the_writer, limit=7)


@pytest.mark.short
async def test_the_primary_is_frozen(group_replication: GroupReplication) -> None:
    await measure(group_replication, "primary frozen", freeze_the_writer, limit=10)


async def test_the_primary_is_switched(group_replication: GroupReplication) -> None:
    async def switch(loaded: Loaded) -> None:
        primary = await group_replication.primary()
        await group_replication.switch_primary(1 + primary % len(NODES))

    clients = await measure(group_replication, "planned switchover", switch, limit=7)
    assert set(clients.replies) == {201}


@pytest.mark.short
async def test_a_node_is_killed_under_two_services(galera: Galera) -> None:
    name = "node killed with -9 under two services"
    await measure(galera, name, kill_the_writer, limit=4, services=2)


@pytest.mark.short
async def test_the_node_in_use_is_frozen(galera: Galera) -> None:
    await measure(galera, "node in use frozen", freeze_the_writer, limit=10)


async def test_a_survivor_is_bootstrapped(galera: Galera) -> None:
    bootstrapped = 0.0

    async def bootstrap(loaded: Loaded) -> None:
        nonlocal bootstrapped
        survivor = await galera.in_use()
        others = [n for n in NODES if n != survivor]
        for n in others:
            await galera.kill(n)
        await asyncio.sleep(15)
        await galera.bootstrap(survivor)
        bootstrapped = time.monotonic()
        await loaded.work()
        for n in others:
            await galera.start(n)

    clients = await measure(galera, "two of three killed, bootstrapped after 15 s", bootstrap)
    assert clients.first_success(bootstrapped) - bootstrapped <= 3 * BUSY


@pytest.mark.parametrize("keyed", [True, False], ids=["with keys", "without keys"])
async def test_all_nodes_are_restarted_one_after_the_other(cluster: Cluster, keyed: bool) -> None:
    name = f"rolling restart, {'with' if keyed else 'without'} keys"
    clients = await measure(cluster, name, restart_all, limit=7, keyed=keyed)
    assert set(clients.replies) == {201}
