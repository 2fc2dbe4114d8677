"""Generated ids on clusters: each id of a reply is the id of its row, whatever the cluster does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial

import httpx
import msgspec
import pymysql
import pytest

from service.core.database.connect import connect
from service.core.database.migrations import migrate
from service.core.settings import Settings
from tests.support.clusters import NODES, Cluster, Galera, GroupReplication
from tests.support.hires import add_parents, hire, names
from tests.support.serving import serving
from tests.support.waiting import until

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

Client = httpx.AsyncClient
ROWS = 100
WRITERS = 4
SECONDS = 120
SESSIONS = "SELECT id FROM information_schema.processlist WHERE user = 'hirebase'"


class Writers:
    """Writers that post batches to several services, each of which prefers another node.

    written: (id in the reply, name) of each row; steps: the distances of ids in a batch.
    """

    def __init__(self, services: list[Client]):
        self._services = services
        self._stopping = False
        self.batches = 0
        self.written: list[tuple[int, str]] = []
        self.steps: set[int] = set()

    async def write_while(self, changes: Callable[[], Awaitable[None]]) -> None:
        """Write until the changes are done."""
        async with asyncio.TaskGroup() as writers:
            for number in range(WRITERS):
                writers.create_task(self._write(number))
            try:
                await changes()
            finally:
                self._stopping = True

    async def more(self, batches: int = 40) -> None:
        """Wait until this many more batches are written."""
        enough = self.batches + batches

        async def reached() -> bool:
            return self.batches >= enough

        await until(reached, SECONDS)

    async def _write(self, writer: int) -> None:
        number = 0
        while not self._stopping:
            called = [f"{writer}-{number}-{at}" for at in range(ROWS)]
            ids = await self._post(writer, f"{writer}-{number}", called)
            self.written += zip(ids, called, strict=True)
            self.steps.add(ids[1] - ids[0])
            self.batches += 1
            number += 1

    async def _post(self, writer: int, key: str, called: list[str]) -> list[int]:
        rows = [hire(name=name) for name in called]
        for attempt in range(1000):
            # The service whose node is away hands its batches to another one.
            client = self._services[(writer + attempt // 5) % len(self._services)]
            reply = await client.post("/employees", json=rows, headers={"Idempotency-Key": key})
            if reply.status_code == 201:
                ids: list[int] = reply.json()["ids"]
                return ids
            assert reply.status_code in {409, 503}, reply.text
            await asyncio.sleep(0.1)
        raise TimeoutError(f"batch {key} got no ids")


@asynccontextmanager
async def writing(cluster: Cluster, *preferred: int) -> AsyncIterator[Writers]:
    """Writers on new tables, through a service for each preferred node; then each id is checked."""
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(connect(cluster.settings))
        await migrate(database)
        await add_parents(database, range(1, 2))
        services = [
            await stack.enter_async_context(serving(_preferring(cluster, n))) for n in preferred
        ]
        writers = Writers(services)
        yield writers
        stored = await names(database)
        wrong = [key for key, name in writers.written if stored.get(key) != name]
        assert not wrong, f"{len(wrong)} of {len(writers.written)} ids are wrong"
        assert len(stored) == len(writers.written) == writers.batches * ROWS


def _preferring(cluster: Cluster, n: int) -> Settings:
    hosts = sorted(cluster.ports, key=lambda other: other != n)
    host = ",".join(map(cluster.address, hosts))
    return msgspec.structs.replace(cluster.settings, mysql_host=host, api_pass="cluster-password")


async def test_ids_are_right_while_galera_changes_its_size(galera: Galera) -> None:
    async with writing(galera, 1, 2) as writers:

        async def change_size() -> None:
            for leave in (galera.stop, galera.kill):
                await writers.more()
                await leave(3)
                await writers.more()
                await galera.start(3)
                await galera.wait_healthy()
            await writers.more()

        await writers.write_while(change_size)
    assert writers.steps == {2, 3}


async def test_ids_are_right_while_a_group_changes_its_mode(
    group_replication: GroupReplication,
) -> None:
    """In multi-primary mode, two nodes take writes at once, with a step of 7."""
    primary = await group_replication.primary()
    call = partial(group_replication.sql, seconds=60)

    async def reconnect() -> None:
        # Sessions keep their step, so new ones are needed to get that of the group.
        for n in NODES:
            for (session,) in await call(n, SESSIONS):
                with suppress(pymysql.Error):  # it has ended meanwhile
                    await call(n, f"KILL {session}")

    async def change_mode() -> None:
        for mode in ("multi_primary_mode()", "single_primary_mode(@@server_uuid)"):
            await writers.more()
            await call(primary, f"SELECT group_replication_switch_to_{mode}")
            await writers.more()
            await reconnect()
        await writers.more()

    async with writing(group_replication, primary, 1 + primary % len(NODES)) as writers:
        await writers.write_while(change_mode)
    assert writers.steps == {1, 7}
