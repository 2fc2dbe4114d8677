"""Faults of a cluster while clients post batches through real services."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec

from service.core.database.connect import connect
from service.core.database.migrations import migrate
from service.core.settings import Settings
from tests.cluster.figures import FIGURES, of_clients
from tests.support.clusters import Cluster
from tests.support.hires import add_parents
from tests.support.history import anomalies, counts
from tests.support.retrying_clients import RetryingClients
from tests.support.sizes import sized

ROWS = 100
BATCHES = sized(short=300, full=1000)
"""So many before and so many after a fault."""
BUSY = sized(short=3.0, full=1.0)
"""The factor that a busy machine may take longer."""
STORED = "SELECT id, name FROM hirebase.hired_employees"


async def stock(settings: Settings) -> None:
    """Make the tables, with five departments and jobs."""
    async with connect(settings) as database:
        await migrate(database)
        await add_parents(database, range(1, 6))


def in_turn(settings: Settings, services: int) -> list[Settings]:
    """Settings of several services, each of which prefers another node."""
    hosts = (settings.mysql_host or "").split(",")
    return [
        msgspec.structs.replace(settings, mysql_host=",".join(hosts[first:] + hosts[:first]))
        for first in range(services)
    ]


class Loaded:
    """Clients at work, and the cluster that a fault hits."""

    def __init__(self, cluster: Cluster, clients: RetryingClients):
        self.cluster = cluster
        self.clients = clients

    async def work(self, batches: int = BATCHES) -> None:
        """Wait until the clients have so many more results."""
        await self.clients.wait_for_batches(self.clients.batches + batches)


Fault = Callable[[Loaded], Awaitable[None]]


async def measure(
    cluster: Cluster,
    name: str,
    fault: Fault,
    *,
    limit: float | None = None,
    services: int = 1,
    keyed: bool = True,
) -> RetryingClients:
    """Let a fault happen under load; limit: the seconds that may pass without a success.

    No row is lost, stored twice or has another id than in its reply. Returns the clients.
    """
    await stock(cluster.settings)
    clients = RetryingClients(
        *in_turn(cluster.settings, services), rows=ROWS, bad=0, leaving=0, keyed=keyed
    )
    loaded = Loaded(cluster, clients)

    async def disturb() -> None:
        await loaded.work()
        await fault(loaded)
        await loaded.work()

    await clients.start()
    await clients.post_while(disturb())
    await cluster.heal()
    stored = await cluster.sql(await cluster.writer(), STORED, seconds=120)
    found = anomalies(clients.history, stored)
    FIGURES.append(of_clients(f"{cluster.NAME}: {name}", limit, clients, len(stored), found))
    assert not found, f"{counts(found)}, such as {found[:3]}"
    assert set(clients.replies) <= {201, 409, 503}, clients.replies
    assert limit is None or clients.gap <= limit * BUSY, clients.gap
    return clients
