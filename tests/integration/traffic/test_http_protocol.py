"""Requests that client libraries do not send, over a socket, on the server of the service.

Endless heads, disconnecting clients, unusual methods.
"""

from __future__ import annotations

import asyncio
import logging
import tracemalloc
from collections.abc import Iterator

import httpx
import msgspec
import pytest
import structlog

from service.core.database.transactions import Database
from service.web.traffic.http_protocol import MAX_HEAD
from tests.conftest import USER
from tests.support.console import UPLOAD
from tests.support.hires import count
from tests.support.raw_http import CHUNKED, CREDENTIALS, HEAD, POST, ROW, exchange, padded, statuses
from tests.support.routes import ENDPOINTS, Endpoint
from tests.support.waiting import until

MIB = 1 << 20


@pytest.fixture(autouse=True)
def no_error_is_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    assert [one.getMessage() for one in caplog.records if one.levelno >= logging.ERROR] == []
    assert "Traceback" not in caplog.text


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
    "within a load": POST.replace(b"/departments", UPLOAD.encode())
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
    server: httpx.AsyncClient, database: Database, method: str
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
