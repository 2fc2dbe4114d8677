"""compose.cluster.yaml on a real engine: containers are killed under load and come back."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator

import pytest

from service.web.access.users import FAILURES
from tests.support import compose
from tests.support.compose import NODES, ComposeCluster
from tests.support.history import anomalies
from tests.support.retrying_clients import RetryingClients
from tests.support.single_tries import SingleTries

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]
AWAY_SECONDS = 10
RETRIED = {None, 207, 409, 502, 503}
"""The replies that a client with keys may see; None: the connection was closed."""


@pytest.fixture(scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ComposeCluster]:
    if missing := compose.missing(compose.PROXY):
        pytest.skip(f"compose.cluster.yaml: this machine has not {missing}")
    data = tmp_path_factory.mktemp("data")
    data.chmod(0o755)  # the loader is another user
    (data / "departments.csv").write_text("1,Research\n")
    (data / "jobs.csv").write_text("1,Clerk\n")
    async with ComposeCluster.of(tmp_path_factory.mktemp("compose"), data) as cluster:
        yield cluster


@pytest.fixture
async def cluster(running: ComposeCluster) -> ComposeCluster:
    """A complete group without hires and keys."""
    await running.wait_complete()
    for table in ("hired_employees", "idempotency_keys"):
        await running.sql(await running.primary(), f"DELETE FROM hirebase.{table}")
    return running


class Clients(RetryingClients):
    """Clients of the proxy, which the tests neither start nor end."""

    def __init__(self, cluster: ComposeCluster):
        super().__init__()
        self._services = [cluster]  # type: ignore[list-item]  # it has a port and an end
        self._cluster = cluster

    async def assert_nothing_lost(self) -> None:
        rows = await self._cluster.sql(
            await self._cluster.primary(), "SELECT id, name FROM hirebase.hired_employees"
        )
        assert anomalies(self.history, [(int(number), name) for number, name in rows]) == []
        assert set(self.replies) <= RETRIED


@pytest.mark.parametrize("which", ["primary", "secondary", "api-1", "api-2"])
async def test_a_killed_container_costs_clients_a_retry_and_comes_back_by_itself(
    cluster: ComposeCluster, which: str
) -> None:
    primary = await cluster.primary()
    nodes = {"primary": primary, "secondary": next(node for node in NODES if node != primary)}
    service = nodes.get(which, which)

    async def disturb() -> None:
        await clients.wait_for_batches(20)
        await cluster.run("kill", service)
        await asyncio.sleep(AWAY_SECONDS)
        await clients.wait_for_batches(clients.batches + 20)
        await cluster.run("start", service)
        await cluster.wait_complete()
        await clients.wait_for_batches(clients.batches + 20)

    clients = Clients(cluster)
    await clients.post_while(disturb())
    await clients.assert_nothing_lost()


async def test_replicas_that_are_replaced_one_after_the_other_lose_no_request(
    cluster: ComposeCluster,
) -> None:
    async def replace() -> None:
        for replica in ("api-1", "api-2"):
            options = ("--detach", "--no-build", "--no-deps", "--force-recreate", "--wait")
            await cluster.run("up", *options, replica)

    clients = SingleTries(cluster.port)
    await clients.run_while(replace())
    assert clients.lost == []
    assert len(clients.replies) > 100


async def test_after_an_outage_of_all_nodes_one_run_starts_the_group_with_every_row(
    cluster: ComposeCluster,
) -> None:
    """One node misses the last rows, and two runs at once start one group."""

    async def disturb() -> None:
        await clients.wait_for_batches(20)
        await cluster.run("kill", "db-1")
        await asyncio.sleep(AWAY_SECONDS)
        await clients.wait_for_batches(clients.batches + 20)
        await cluster.run("kill", *NODES)
        await cluster.run("start", *NODES)
        runs = await asyncio.gather(cluster.form_group(), cluster.form_group())
        assert [run.code for run in runs] == [0, 0], runs
        await cluster.wait_complete()

    clients = Clients(cluster)
    await clients.post_while(disturb())
    await clients.assert_nothing_lost()


async def test_without_a_node_a_group_starts_only_if_the_operator_leaves_it_out(
    cluster: ComposeCluster,
) -> None:
    await cluster.run("kill", *NODES)
    await cluster.run("start", "db-1", "db-2")
    refused = await cluster.form_group(WAIT_SECONDS="20")
    assert refused.code == 1
    assert "Without an answer: db-3." in refused.out
    formed = await cluster.form_group(NODES="db-1 db-2")
    assert formed.code == 0, formed
    await cluster.run("start", "db-3")
    await cluster.wait_complete()


async def test_a_client_cannot_guess_more_passwords_by_inventing_addresses(
    cluster: ComposeCluster,
) -> None:
    wrong = f"Basic {b64encode(b'nobody:wrong').decode()}"
    statuses = [
        await cluster.status("/jobs", authorization=wrong, x_forwarded_for=f"10.0.0.{number}")
        for number in range(2 * FAILURES + 2)
    ]
    assert set(statuses) == {401, 429}


async def test_a_node_with_rows_of_its_own_is_refused_until_its_volume_is_removed(
    cluster: ComposeCluster,
) -> None:
    await cluster.sql(
        "db-3", "STOP GROUP_REPLICATION; SET GLOBAL super_read_only = OFF; CREATE DATABASE stray"
    )
    refused = await cluster.form_group(WAIT_SECONDS="5")
    assert refused.code == 1
    assert "db-3 has transactions that the group lacks" in refused.out
    await cluster.remove_data("db-3")
    await cluster.run("up", "--detach", "--no-build")
    await cluster.wait_complete()
    found = await cluster.sql("db-3", "SHOW DATABASES")
    assert ["hirebase"] in found
    assert ["stray"] not in found
