"""Requests that client libraries do not send, over a socket, on the server of the service.

Endless heads, bad requests behind good ones, disconnecting clients, unusual methods.
"""

from __future__ import annotations

import asyncio
import logging
import tracemalloc
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator

import httpx
import msgspec
import pytest
import structlog

from service.core.database.transactions import Database
from service.core.settings import Settings
from service.web.asgi import Receive, Scope, Send
from service.web.traffic import http_protocol
from service.web.traffic.http_protocol import MAX_HEAD, MAX_PIPELINED
from tests.conftest import PASSWORD, USER
from tests.support.hires import count
from tests.support.routes import ENDPOINTS, Endpoint
from tests.support.serving import listening, on_a_port
from tests.support.waiting import until

CREDENTIALS = b"Authorization: Basic " + b64encode(f"{USER}:{PASSWORD}".encode()) + b"\r\n"
HEAD = b"GET /departments HTTP/1.1\r\nHost: test\r\n" + CREDENTIALS
POST = (
    b"POST /departments HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n" + CREDENTIALS
)
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
ROW = b'{"department":"Sales"}'
MIB = 1 << 20


@pytest.fixture(scope="module")
async def server(migrated: Settings) -> AsyncIterator[httpx.AsyncClient]:
    async with listening(migrated) as client:
        yield client


@pytest.fixture(autouse=True)
def no_error_is_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    assert [one.getMessage() for one in caplog.records if one.levelno >= logging.ERROR] == []
    assert "Traceback" not in caplog.text


async def exchange(server: httpx.AsyncClient, *pieces: bytes, repeat: int = 1) -> bytes:
    """Send chunks; return everything until the server closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.base_url.port)
    try:
        first, *others = pieces
        writer.write(first)
        reading = asyncio.create_task(reader.read())
        try:
            for _ in range(repeat):
                for piece in others:
                    writer.write(piece)
                    await writer.drain()
        except ConnectionError:
            pass
        return await asyncio.wait_for(reading, 20)
    except ConnectionResetError:
        return b""
    finally:
        writer.transport.abort()


def statuses(replies: bytes) -> list[int]:
    return [int(one[:3]) for one in replies.split(b"HTTP/1.1 ")[1:]]


def padded(size: int) -> bytes:
    """A whole request whose head has so many bytes."""
    close = b"Connection: close\r\n"
    left = size - len(HEAD) - len(close) - len(b"X-Pad: \r\n\r\n")
    return HEAD + close + b"X-Pad: " + b"x" * left + b"\r\n\r\n"


async def test_a_head_has_as_many_bytes_as_the_limits_say(server: httpx.AsyncClient) -> None:
    limit = (await server.get("/limits")).json()["request_head_bytes"]
    assert limit == MAX_HEAD
    assert statuses(await exchange(server, padded(limit - 100))) == [200]
    for size in (limit + 100, 2 * limit, 200_000, MIB):
        reply = await exchange(server, padded(size))
        assert statuses(reply) == [431], size
        problem = msgspec.json.decode(reply.partition(b"\r\n\r\n")[2])
        assert (problem["status"], str(limit) in problem["detail"]) == (431, True)
        assert b"content-type: application/problem+json" in reply


@pytest.mark.parametrize(
    "head",
    [
        b"GET /" + b"x" * MAX_HEAD + b" HTTP/1.1\r\n\r\n",
        HEAD + b"x" * MAX_HEAD + b": x\r\n\r\n",
        HEAD + b"x: y\r\n" * (MAX_HEAD // 6) + b"\r\n",
        HEAD + b"x:y\r\n" * (MAX_HEAD // 5) + b"\r\n",
    ],
    ids=["a path", "a name", "many headers", "many small headers"],
)
async def test_every_part_of_a_head_counts(server: httpx.AsyncClient, head: bytes) -> None:
    assert statuses(await exchange(server, head)) == [431]


ENDLESS = {
    "a method": (b"", b"G" * 1000),
    "a path": (b"GET /", b"x" * 1000),
    "a name": (HEAD, b"x" * 1000),
    "a value": (HEAD + b"X: ", b"x" * 1000),
    "a value of spaces": (HEAD + b"X: ", b" " * 1000),
    "headers": (HEAD, b"X-A: b\r\n" * 100),
    "lines before a request": (b"", b"\r\n" * 500),
    "a chunk's size": (CHUNKED, b"0" * 1000),
    "a chunk's extension": (CHUNKED + b"1;x=", b"x" * 1000),
    "a trailer": (CHUNKED + b"1\r\n{\r\n0\r\nX: ", b"x" * 1000),
    "trailers": (CHUNKED + b"1\r\n{\r\n0\r\n", b"X-A: b\r\n" * 100),
}


@pytest.mark.parametrize(("begun", "more"), ENDLESS.values(), ids=ENDLESS)
async def test_endless_heads_are_refused_and_use_little_memory(
    server: httpx.AsyncClient, begun: bytes, more: bytes
) -> None:
    tracemalloc.start()
    try:
        replies = await exchange(server, begun or more, more, repeat=20 * MIB // len(more) // 4)
        assert tracemalloc.get_traced_memory()[1] < 4 * MIB
    finally:
        tracemalloc.stop()
    assert set(statuses(replies)) <= {400, 431}
    assert (await server.get("/limits")).status_code == 200


async def test_each_request_of_a_connection_has_its_own_limit(server: httpx.AsyncClient) -> None:
    large = padded(MAX_HEAD - 100).replace(b"Connection: close\r\n", b"")
    # One after the other, all at once, and cut into pieces of any size.
    assert statuses(await exchange(server, large * 3 + padded(2 * MAX_HEAD))) in (
        [200, 200, 200, 431],
        [200, 200, 200],
    )
    whole = large * 2 + padded(MAX_HEAD - 100)
    for size in (1000, 40_000, 65_536):
        pieces = [whole[at : at + size] for at in range(0, len(whole), size)]
        assert statuses(await exchange(server, *pieces)) == [200, 200, 200]


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


async def test_long_chunked_bodies_do_not_count_as_heads(
    server: httpx.AsyncClient, database: Database
) -> None:
    """The sizes of many small chunks are more than a head may have."""
    body = b"[" + b" " * 50_000 + ROW + b"]"
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n"
    assert len(chunks) - len(body) > 3 * MAX_HEAD
    close = CHUNKED.replace(b"Host", b"Connection: close\r\nHost")
    assert statuses(await exchange(server, close + chunks)) == [201]


DISCONNECTS = {
    "before its body": POST + b"Content-Length: 1000\r\n\r\n",
    "within it": POST + b"Content-Length: 1000\r\n\r\n" + ROW,
    "within a chunk": CHUNKED + b"100\r\n" + ROW,
    "within an upload": POST.replace(b"/departments", b"/avro/restore/jobs")
    + b"Content-Length: 1000\r\n\r\nObj",
    "within a form": POST.replace(b"/departments", b"/avro/verify").replace(
        b"application/json", b"multipart/form-data; boundary=x"
    )
    + b"Content-Length: 1000\r\n\r\n--x\r\n",
    "within a load": POST.replace(b"/departments", b"/console/loads?table=jobs&name=x.csv")
    + b"Content-Length: 1000\r\n\r\n1,",
}


@pytest.mark.parametrize("sent", DISCONNECTS.values(), ids=DISCONNECTS)
async def test_a_disconnected_client_is_not_an_error_of_the_service(
    server: httpx.AsyncClient, database: Database, sent: bytes
) -> None:
    before = await aborted(server)
    with structlog.testing.capture_logs() as lines:
        _, writer = await asyncio.open_connection("127.0.0.1", server.base_url.port)
        writer.write(sent)
        await writer.drain()
        await asyncio.sleep(0.1)
        writer.transport.abort()

        async def logged() -> bool:
            return any(line.get("method") == "POST" for line in lines)

        await until(logged, 10)
    (line,) = [line for line in lines if line.get("method") == "POST"]
    assert (line["status"], line["log_level"], line["user"]) == (499, "info", USER)
    assert await aborted(server) == before + 1
    assert 'status="500"' not in (await server.get("/metrics")).text
    assert await count(database, "departments") == 0


async def aborted(server: httpx.AsyncClient) -> float:
    """Requests that the metrics count as aborted."""
    text = (await server.get("/metrics")).text
    lines = [line for line in text.splitlines() if "request_seconds_count" in line]
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if 'status="499"' in line)


METHODS = "OPTIONS HEAD TRACE CONNECT PUT DELETE PATCH PROPFIND QUERY LINK M-SEARCH FOO get".split()


@pytest.mark.parametrize("method", METHODS)
async def test_no_method_reveals_routes_without_credentials(
    server: httpx.AsyncClient, method: str
) -> None:
    for path in ("/departments", "/departments/1", "/nothing", "/console/static/console.css", "*"):
        request = f"{method} {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n".encode()
        (status,) = statuses(reply := await exchange(server, request + b"\r\n"))
        assert status in {400, 401}
        assert b"allow:" not in reply.lower()
        (status,) = statuses(await exchange(server, request + CREDENTIALS + b"\r\n"))
        assert status in {200, 204, 400, 404, 405}


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=str)
async def test_options_requires_credentials(server: httpx.AsyncClient, endpoint: Endpoint) -> None:
    reply = await server.options(endpoint.path())
    assert reply.status_code == 204
    assert "OPTIONS" in reply.headers["Allow"]
    status = (await server.request("OPTIONS", endpoint.path(), auth=None)).status_code
    assert status == (204 if endpoint.template.startswith("/health/") else 401)


@pytest.mark.parametrize(
    "target",
    [
        b"/departments?after=\xff",
        b"/departments?\xc3\xa9=1",
        b"/console/loads?\xff",
        b"/\xff",
        b"\xff",
    ],
)
async def test_targets_that_are_not_ascii_are_refused(
    server: httpx.AsyncClient, target: bytes
) -> None:
    for method in (b"GET ", b"POST "):
        request = HEAD.replace(b"GET ", method).replace(b"/departments", target)
        (status,) = statuses(await exchange(server, request + b"Connection: close\r\n\r\n"))
        assert status in {400, 405}


async def test_a_websocket_request_gets_a_normal_reply(server: httpx.AsyncClient) -> None:
    upgrade = b"Connection: Upgrade, close\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    upgrade += b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    assert statuses(await exchange(server, HEAD + upgrade)) == [200]
