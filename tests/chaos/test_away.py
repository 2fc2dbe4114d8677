"""Connections are killed and the database restarts: each request gets an answer in time."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import count as counted
from itertools import cycle

import msgspec
import pytest

from service.core.database.connect import connect
from service.core.database.transactions import Database
from service.core.errors import DatabaseError
from service.core.settings import Settings
from tests.support import engine
from tests.support.hires import count
from tests.support.load import SUCCESS, Line, Reply, batch, report, request, started
from tests.support.servers import Container, Server
from tests.support.sizes import sized
from tests.support.tcp_proxy import Proxy
from tests.support.waiting import until

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(900)]
KILLS = sized(short=10, full=100)
RESTARTS = sized(short=1, full=10)
ROWS = 50
DEADLINE, MARGIN = 3, 1
CLIENTS = 6
SESSIONS = "SELECT id FROM information_schema.processlist WHERE db = %s"


class Watched:
    """Clients and probes of a service, with all their replies."""

    def __init__(self, port: int):
        self._port = port
        self._stopping = asyncio.Event()
        self.replies: list[Reply] = []
        self.live: list[Reply] = []
        self.ready: list[Reply] = []

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Send requests until the end of this block."""
        async with asyncio.TaskGroup() as group:
            for client in range(CLIENTS):
                group.create_task(self._call(client))
            group.create_task(self._probe("/health/live", self.live))
            group.create_task(self._probe("/health/ready", self.ready))
            try:
                yield
            finally:
                self._stopping.set()

    async def is_ready(self) -> bool:
        line = Line(self._port)
        reply = await line.send(request("GET", "/health/ready"))
        line.close()
        return reply.status == 200

    async def _call(self, client: int) -> None:
        line, rows = Line(self._port), batch(ROWS)
        for number, kind in zip(counted(), cycle(["keyed", "plain", "page", "report"])):
            if self._stopping.is_set():
                break
            key = {"idempotency_key": f"{client}-{number}"} if kind == "keyed" else {}
            message = {
                "page": request("GET", "/employees?limit=100"),
                "report": request("GET", "/reports/departments-above-mean?year=2021"),
            }.get(kind) or request("POST", "/employees", rows, **key)
            self.replies.append(await line.send(message))
            await asyncio.sleep(0.01)
        line.close()

    async def _probe(self, path: str, replies: list[Reply]) -> None:
        line = Line(self._port)
        while not self._stopping.is_set():
            replies.append(await line.send(request("GET", path)))
            await asyncio.sleep(0.05)
        line.close()


async def kill_one(database: Database, name: str) -> bool:
    """Kill one connection of the service, if it has one."""
    found = await database.fetch(SESSIONS, (name,))
    if not found:
        return False
    with suppress(DatabaseError):  # it ended by itself meanwhile
        await database.fetch(f"KILL {random.choice(found)[0]}")
    return True


async def kill_connections(settings: Settings) -> None:
    """Kill KILLS connections, one after the other."""
    beside = msgspec.structs.replace(settings, mysql_database="information_schema")
    killed = 0
    async with connect(beside) as database:
        while killed < KILLS:
            killed += await kill_one(database, settings.mysql_database)
            await asyncio.sleep(random.uniform(0, 0.2))


async def restart(server: Server, proxy: Proxy, number: int) -> None:
    """Kill or stop the database and start it again. The embedded one is only cut off."""
    if not isinstance(server, Container):
        proxy.refusing = True
        proxy.cut()
        await asyncio.sleep(2)
        proxy.refusing = False
    elif number % 2:
        await server.restart()
    else:
        await server.kill()


async def wait_for_database(settings: Settings) -> None:
    """Wait until the database answers."""
    hurried = msgspec.structs.replace(settings, mysql_wait=0, mysql_timeout=1)

    async def answered() -> bool:
        with suppress(DatabaseError):
            async with connect(hurried):
                return True
        return False

    await until(answered, 60)


@pytest.mark.parametrize("way", ["direct", "proxy"])
async def test_every_request_has_its_answer_in_time(
    server: Server, stocked: Database, way: str
) -> None:
    if way == "direct" and server.settings.embedded:
        pytest.skip("the embedded database can be cut off only through a proxy")
    ready = []
    async with engine.proxy(server.settings) as proxy:
        over = engine.through(proxy, server.settings) if way == "proxy" else server.settings
        service = await started(over, MYSQL_TIMEOUT=str(DEADLINE))
        watched = Watched(service.port)
        async with watched.watching():
            await kill_connections(server.settings)
            for number in range(RESTARTS):
                if number % 3 == 2:
                    proxy.cut()
                await restart(server, proxy, number)
                await wait_for_database(over)
                ready.append(await until(watched.is_ready, 30))
                await asyncio.sleep(random.uniform(0.2, 1))
        assert (await service.end()).code == 0
    await check(watched, ready, way)
    async with connect(server.settings) as database:
        assert await count(database, "hired_employees") % ROWS == 0


async def check(watched: Watched, ready: list[float], way: str) -> None:
    """Every reply is a result or a 503, in time, and the probes are right."""
    replies = watched.replies
    report(
        f"{KILLS} KILLs, {RESTARTS} restarts, {way}",
        requests=len(replies),
        unavailable=sum(reply.sheds for reply in replies),
        slowest_s=max(reply.seconds for reply in replies),
        slowest_live_s=max(reply.seconds for reply in watched.live),
        slowest_until_ready_s=max(ready),
    )
    assert {reply.status for reply in replies if not reply.sheds} <= SUCCESS
    assert [reply for reply in replies if reply.seconds > DEADLINE + MARGIN] == []
    assert {reply.status for reply in watched.live} == {200}
    assert max(reply.seconds for reply in watched.live) < 1
    assert {reply.status for reply in watched.ready} == {200, 503}
    assert max(ready) <= 2
