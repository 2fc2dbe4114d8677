"""Several requests of a connection, and the time that it has."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import AsyncIterator

import httpx
import msgspec
import pytest

from service.core.database.transactions import Database
from service.core.settings import Settings
from service.web.asgi import Receive, Scope, Send
from service.web.traffic import http_protocol
from service.web.traffic.http_protocol import MAX_HEAD, MAX_PIPELINED
from tests.support.hires import count
from tests.support.raw_http import CHUNKED, CREDENTIALS, HEAD, POST, ROW, exchange, padded, statuses
from tests.support.serving import listening, on_a_port

MIB = 1 << 20
GOOD = POST + b"Content-Length: %d\r\n\r\n" % len(ROW) + ROW
BAD = {
    "no HTTP": b"\0\r\n\r\n",
    "an unknown version": HEAD.replace(b"1.1", b"3.0") + b"\r\n",
    "two lengths": POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
    "a length and chunks": POST + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    "a bad chunk": CHUNKED + b"zz\r\n",
    "a bad second chunk": CHUNKED + b"1\r\n[\r\n-1\r\n",
    "a folded line": HEAD + b"X: a\r\n b\r\n\r\n",
    "a tunnel": b"CONNECT test:80 HTTP/1.1\r\n" + CREDENTIALS + b"\r\n",
    "a large head": padded(3 * MAX_HEAD),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
@pytest.mark.parametrize("before", [0, 1, 5])
async def test_a_bad_request_takes_no_reply_from_the_requests_before_it(
    server: httpx.AsyncClient, database: Database, before: int, bad: bytes
) -> None:
    replies = await exchange(server, before * GOOD + bad)
    assert statuses(replies)[:before] == before * [201]
    assert statuses(replies)[before:] in ([], [400], [431])
    assert await count(database, "departments") == before


async def test_a_bad_request_is_a_problem(server: httpx.AsyncClient) -> None:
    head, _, body = (await exchange(server, b"nonsense\r\n\r\n")).partition(b"\r\n\r\n")
    assert b"content-type: application/problem+json" in head
    assert msgspec.json.decode(body)["status"] == 400


@pytest.mark.parametrize(
    "body",
    [
        [b"Content-Length: %d\r\n\r\n" % len(ROW) + ROW],
        [b"Content-Length: %d\r\n\r\n" % len(ROW), ROW],
        [b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % len(ROW), ROW + b"\r\n0\r\n\r\n"],
    ],
    ids=["whole", "in two", "chunked"],
)
async def test_a_request_to_upgrade_loses_neither_its_body_nor_the_next_request(
    server: httpx.AsyncClient, database: Database, body: list[bytes]
) -> None:
    """The HTTP client of Java offers HTTP/2 with each request in plain text."""
    post = POST + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
    last = HEAD + b"Connection: close\r\n\r\n"
    assert statuses(await exchange(server, post + body[0], *body[1:], last)) == [201, 200]
    assert await count(database, "departments") == 1


async def test_pipelined_requests_use_little_memory(
    server: httpx.AsyncClient,
) -> None:
    tiny = b"GET / HTTP/1.1\r\n\r\n" * 10_000
    tracemalloc.start()
    try:
        replies = await exchange(server, tiny)
        assert tracemalloc.get_traced_memory()[1] < 4 * MIB
    finally:
        tracemalloc.stop()
    assert statuses(replies) == [401] * (1 + MAX_PIPELINED)


@pytest.mark.parametrize(
    "sent",
    [b"", b"GET / HT", HEAD, b"\r\n", HEAD + b"\r\n\r\n", HEAD + b"\r\nG"],
    ids=["nothing", "a line", "a head", "an empty line", "two", "a second head"],
)
async def test_a_connection_without_a_head_ends(
    server: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    """Otherwise clients that send nothing, or a byte at a time, use up all file descriptors."""
    monkeypatch.setattr(http_protocol, "HEAD_SECONDS", 0.5)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.base_url.port)
    writer.write(sent)

    async def drip() -> None:
        while sent and not writer.is_closing():
            await asyncio.sleep(0.1)
            writer.write(b"\r\n" if sent.endswith(b"\n") else b"x")

    dripping = asyncio.create_task(drip())
    try:
        async with asyncio.timeout(5):
            await reader.read()
    except ConnectionError:
        pass  # the end came while a byte was on its way
    finally:
        dripping.cancel()
        writer.transport.abort()


async def test_a_slow_request_outlasts_the_time_for_a_head(
    server: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_protocol, "HEAD_SECONDS", 0.2)
    post = POST + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(ROW)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.base_url.port)
    for piece in (post, ROW[:5], ROW[5:]):
        writer.write(piece)
        await asyncio.sleep(0.3)
    assert statuses(await reader.read()) == [201]
    writer.close()


async def test_a_disconnect_reaches_every_request_of_the_connection() -> None:
    """uvicorn informs only the latest one."""
    begun, gone = asyncio.Event(), asyncio.Event()

    async def app(_scope: Scope, receive: Receive, _send: Send) -> None:
        begun.set()
        while (await receive())["type"] != "http.disconnect":
            pass
        gone.set()

    async with asyncio.timeout(10), on_a_port(app) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(2 * (HEAD + b"\r\n"))
        await begun.wait()
        writer.transport.abort()
        await gone.wait()


async def test_a_websocket_request_gets_a_normal_reply(server: httpx.AsyncClient) -> None:
    upgrade = b"Connection: Upgrade, close\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    upgrade += b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    assert statuses(await exchange(server, HEAD + upgrade)) == [200]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/departments"),
        ("PATCH", "/departments/1"),
        ("POST", "/rejects/1/correction"),
        ("POST", "/rejects/1/dismissal"),
        ("POST", "/rejects/corrections"),
    ],
)
async def test_a_body_that_arrives_slowly_keeps_no_batch_away(
    migrated: Settings, database: Database, method: str, path: str
) -> None:
    one_at_a_time = msgspec.structs.replace(migrated, api_max_batches=1)
    arriving, last = asyncio.Event(), asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield b"{"
        arriving.set()
        await last.wait()
        yield b"}"

    async with listening(one_at_a_time) as client:
        slow = asyncio.create_task(client.request(method, path, content=body()))
        await arriving.wait()
        await asyncio.sleep(0.3)
        posted = [await client.post("/departments", content=ROW) for _ in range(2)]
        last.set()
        assert (await slow).status_code in (400, 404, 422)
    assert [reply.status_code for reply in posted] == [201, 201], posted[0].text
    assert await count(database, "departments") == 2
