"""Clients that are slow, lie about lengths, half-close or never read do not disturb others."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from service.core.database.transactions import Database
from service.core.tables import by_path
from tests.support.hires import MOMENT, count
from tests.support.load import batch, figures, in_turn, p99, read_reply, report, request, started
from tests.support.program import Service
from tests.support.servers import Server
from tests.support.sizes import sized
from tests.support.tcp_proxy import Streams
from tests.support.waiting import until

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(300)]
CROWD = sized(short=15, full=60)
SECONDS = sized(short=3, full=20)
STOP_SECONDS = 3
DOWNLOAD_SECONDS = 2
LONG_ROWS = 60_000
POST = request("POST", "/employees", batch(100))
HEAD, BODY = POST[: POST.index(b"\r\n\r\n") + 4], POST[POST.index(b"\r\n\r\n") + 4 :]
SENT_AT_ONCE = {
    "nothing": b"",
    "half a header": HEAD[:40],
    "headers": HEAD,
    "half a body": HEAD + BODY[: len(BODY) // 2],
}


@pytest.fixture
async def service(server: Server, stocked: Database) -> AsyncIterator[Service]:
    # Warnings are no errors here: uvloop warns of open connections at the end, and would hang.
    service = await started(
        server.settings,
        MYSQL_TIMEOUT=str(STOP_SECONDS),
        API_DOWNLOAD_IDLE_TIMEOUT=str(DOWNLOAD_SECONDS),
        PYTHONWARNINGS="default",
    )
    yield service
    with suppress(ProcessLookupError):
        await service.end(signal.SIGKILL)


@asynccontextmanager
async def crowd(port: int) -> AsyncIterator[None]:
    """Open CROWD connections of each kind. Each continues with one byte per second."""
    async with asyncio.TaskGroup() as group:
        dripping = [
            group.create_task(drip(port, begun))
            for begun in SENT_AT_ONCE.values()
            for _ in range(CROWD)
        ]
        yield
        for one in dripping:
            one.cancel()


async def drip(port: int, begun: bytes) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(begun)
        with suppress(ConnectionError):
            for at in range(len(begun), len(POST) - 1):
                writer.write(POST[at : at + 1])
                await writer.drain()
                await asyncio.sleep(1)
    finally:
        writer.transport.abort()


async def in_use(service: Service) -> float:
    """The number of database connections in use."""
    (reply,) = await in_turn(service.port, request("GET", "/metrics"), 1)
    found = figures(reply.body)
    return found["hirebase_pool_connections"] - found["hirebase_pool_free"]


async def test_a_byte_per_second_holds_no_connection_and_delays_no_stop(
    service: Service, stocked: Database
) -> None:
    posted, held = [], []
    async with crowd(service.port):
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            posted += await in_turn(service.port, POST, 5, pause=0.05)
            held.append(await in_use(service))
        began = time.monotonic()
        ended = await service.end(signal.SIGTERM)
        stopped = time.monotonic() - began
    report(
        f"{CROWD * len(SENT_AT_ONCE)} clients that send a byte per second",
        posted=len(posted),
        p99_ms=p99(posted),
        most_connections_held=max(held),
        stopped_s=stopped,
    )
    assert {reply.status for reply in posted} == {201}
    assert p99(posted) < 1000
    assert set(held) == {0}
    assert ended.code == 0
    assert stopped < STOP_SECONDS + 4
    assert await count(stocked, "hired_employees") == 100 * len(posted)


async def exchange(service: Service, message: bytes, *, end: bool) -> bytes:
    """Send bytes; all that comes back within two seconds. end: close the sending side."""
    reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
    writer.write(message)
    if end:
        writer.write_eof()
    found = b""
    with suppress(TimeoutError, ConnectionError):
        async with asyncio.timeout(2):
            while piece := await reader.read(1 << 16):
                found += piece
    writer.transport.abort()
    return found


@pytest.mark.parametrize("end", [False, True])
@pytest.mark.parametrize("missing", [-20, 0, 20])
async def test_wrong_lengths_and_half_closed_connections_leave_nothing_behind(
    service: Service, stocked: Database, missing: int, end: bool
) -> None:
    length = f"content-length: {len(BODY)}".encode()
    lie = HEAD.replace(length, f"content-length: {len(BODY) + missing}".encode())
    replies = await asyncio.gather(*(exchange(service, lie + BODY, end=end) for _ in range(CROWD)))
    statuses = {reply[9:12] for reply in replies}
    # A half-closed connection may get no reply. A body that is cut short is not JSON. A body that
    # never ends gets no reply.
    assert statuses <= {b"400", b""} if missing else statuses <= {b"201", b"503", b""}
    assert missing > 0 or end or b"" not in statuses

    async def nothing_is_held() -> bool:
        return await in_use(service) == 0

    await until(nothing_is_held, 5)
    written = await count(stocked, "hired_employees")
    assert written == 0 if missing else written % 100 == 0
    assert {reply.status for reply in await in_turn(service.port, POST, 5)} == {201}
    assert (await service.end(signal.SIGTERM)).code == 0


async def fill(database: Database) -> None:
    """Write more rows than the buffers of the sockets can hold."""
    insert = by_path("employees").sql["insert"]
    rows = [("x" * 255, MOMENT.removesuffix("Z"), 1, 1)] * 5000
    for _ in range(LONG_ROWS // len(rows)):
        async with database.transaction(60) as transaction:
            await transaction.insert(insert, rows)


async def ask(service: Service) -> tuple[int, Streams]:
    """Request a backup and read only the headers of the reply."""
    streams = await asyncio.open_connection("127.0.0.1", service.port)
    streams[1].write(request("GET", "/avro/backup/employees?codec=null"))
    async with asyncio.timeout(20):
        status, _, _ = await read_reply(streams[0])
    return status, streams


async def test_readers_that_never_read_hold_half_the_pool_and_not_for_long(
    service: Service, server: Server, stocked: Database
) -> None:
    await fill(stocked)
    places = server.settings.mysql_pool_size // 2
    asked = [await ask(service) for _ in range(places + 2)]
    assert [status for status, _ in asked] == [200] * places + [503] * 2
    assert await in_use(service) == places
    posted = await in_turn(service.port, POST, 20)
    assert {reply.status for reply in posted} == {201}

    async def all_are_free() -> bool:
        return await in_use(service) == 0

    freed = await until(all_are_free, DOWNLOAD_SECONDS + 5)
    status, last = await ask(service)
    assert status == 200
    began = time.monotonic()
    ended = await service.end(signal.SIGTERM)
    report(
        f"{places} readers that never read",
        connections_free_after_s=freed,
        stopped_s=time.monotonic() - began,
    )
    assert ended.code == 0
    for _, writer in [last, *(streams for _, streams in asked)]:
        writer.transport.abort()
