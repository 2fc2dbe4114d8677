"""HEAD on every route of GET, and the methods that Allow names (RFC 9110)."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import suppress

import httpx
import pytest
import structlog

from service.core.database.connect import connect
from service.core.database.transactions import Database
from service.core.settings import Settings
from tests.conftest import empty
from tests.integration.traffic.test_request_log import figures
from tests.support.console import events, preview, start
from tests.support.hires import add_hire_7, add_parents
from tests.support.raw_http import exchange, statuses
from tests.support.routes import ENDPOINTS, Endpoint
from tests.support.serving import listening

GETS = [one for one in ENDPOINTS if one.method == "GET"]
VARYING = {"date", "x-request-id"}
"""Headers that differ between two replies."""
METRICS = "/metrics"
"""Its length differs between two replies."""
EXPORT = "/employees?format=csv"
QUERIES = [
    *(EXPORT, "/employees?limit=1&count=exact", "/employees?nonsense=1", "/rejects?format=ndjson"),
    *("/rejects/file?table=jobs", "/console/tables/employees?name=A&order=-name", "/jobs/99"),
    *("/reports/hires-by-quarter?year=2021", "/console/reports/hires-by-quarter.csv?year=2021"),
]


class Rollback(Exception):
    """Rolls a transaction back."""


@pytest.fixture(scope="module")
async def stocked(migrated: Settings) -> AsyncIterator[Database]:
    """Twelve departments and jobs, and a hire."""
    async with connect(migrated) as database:
        await empty(database)
        await add_parents(database, range(1, 13))
        await add_hire_7(database)
        yield database


@pytest.fixture(scope="module")
async def service(migrated: Settings, stocked: Database) -> AsyncIterator[httpx.AsyncClient]:
    """A client that uses a socket: the server leaves out the body of HEAD, too."""
    async with listening(migrated) as client:
        yield client


@pytest.fixture(scope="module")
async def names(service: httpx.AsyncClient) -> dict[str, str]:
    """Values for placeholders in paths: a job that has ended, and a backup."""
    job = (await service.post("/console/backups?table=jobs")).json()["job"]
    await service.get(f"/console/jobs/{job}/events")
    saved = (await service.post("/avro/backup?table=jobs")).json()
    return {"job_id": str(job), "name": saved["name"], "row_id": "7"}


@pytest.mark.parametrize("path", [*sorted({one.template for one in GETS}), *QUERIES])
async def test_head_has_the_status_and_the_headers_of_get(
    service: httpx.AsyncClient, names: dict[str, str], path: str
) -> None:
    for values in ({}, names):
        address = Endpoint("GET", path, (), ()).path(**values)
        get, head = [await service.request(method, address) for method in ("GET", "HEAD")]
        assert (head.status_code, head.content) == (get.status_code, b"")
        assert _headers(head) == _headers(get)


def _headers(reply: httpx.Response) -> dict[str, str]:
    """The headers that both replies must have. A body of unknown length has none of HEAD."""
    left_out = VARYING | {"transfer-encoding"}
    if reply.request.url.path == METRICS:
        left_out |= {"content-length"}
    return {name: text for name, text in reply.headers.items() if name not in left_out}


async def test_a_connection_continues_after_head(service: httpx.AsyncClient) -> None:
    """A body would be read as the beginning of the next reply."""
    head = b"HEAD /health/live HTTP/1.1\r\nHost: test\r\n"
    replies = await exchange(service, head + b"\r\n" + head + b"Connection: close\r\n\r\n")
    assert statuses(replies) == [200, 200]
    assert b"alive" not in replies


@pytest.mark.parametrize("path", [EXPORT, "/rejects?format=csv", "/avro/backup/all"])
async def test_head_of_a_file_reads_nothing(client: httpx.AsyncClient, path: str) -> None:
    async with asyncio.TaskGroup() as group:
        # More than there are places for long work.
        tasks = [group.create_task(client.head(path)) for _ in range(20)]
    assert {task.result().status_code for task in tasks} == {200}
    read = re.compile("hirebase_(exports|backups|export_bytes|backup_bytes)_total")
    assert [
        name for name, count in (await figures(client)).items() if read.match(name) and count
    ] == []


async def test_head_of_a_stream_ends_at_once(client: httpx.AsyncClient, database: Database) -> None:
    await add_parents(database, range(1, 2))
    job = await preview(client, "departments.csv", b"2,New\n", "departments")
    with suppress(Rollback):
        async with database.transaction(60) as blocking:
            await blocking.execute("INSERT INTO departments VALUES (2, 'Mine')")
            await start(client, f"/console/jobs/{job}/confirm", json={"word": ""})
            async with asyncio.timeout(10):
                reply = await client.head(f"/console/jobs/{job}/events")
            assert (reply.status_code, reply.content) == (200, b"")
            assert reply.headers["Content-Type"].startswith("text/event-stream")
            raise Rollback
    assert [one["state"] for one in await events(client, job)] == ["running", "done"]


async def test_head_of_an_unknown_path_is_404(caller: httpx.AsyncClient) -> None:
    replies = [await caller.head(path) for path in ("/nothing", "/departments/99")]
    assert [(one.status_code, one.content) for one in replies] == [(404, b"")] * 2


@pytest.mark.parametrize("path", ["/departments", "/", EXPORT, "/nothing", "/avro/verify"])
async def test_head_requires_credentials(caller: httpx.AsyncClient, path: str) -> None:
    for auth in (None, ("admin", "wrong")):
        reply = await caller.request("HEAD", path, auth=auth)
        assert (reply.status_code, reply.content) == (401, b"")
        assert reply.headers["WWW-Authenticate"]


async def test_attempts_by_head_count(client: httpx.AsyncClient) -> None:
    replies = [await client.head("/jobs", auth=("admin", f"{at}")) for at in range(11)]
    assert [reply.status_code for reply in replies] == [401] * 10 + [429]


async def test_head_is_logged_and_counted_with_its_route_and_user(
    client: httpx.AsyncClient,
) -> None:
    with structlog.testing.capture_logs() as lines:
        await client.head("/jobs?limit=1")
    assert [(one["method"], one["route"], one["user"]) for one in lines] == [
        ("HEAD", "/jobs", "admin")
    ]
    where = 'method="HEAD",route="/jobs",status="200"'
    assert (await figures(client))[f"hirebase_request_seconds_count{{{where}}}"] == 1


@pytest.mark.parametrize("template", sorted({one.template for one in ENDPOINTS}))
async def test_allow_names_every_method_of_a_path(caller: httpx.AsyncClient, template: str) -> None:
    same = [one for one in ENDPOINTS if one.template == template]
    methods = {"OPTIONS", *(one.method for one in same)}
    allowed = ", ".join(sorted(methods | ({"HEAD"} if "GET" in methods else set())))
    for method, status in (("OPTIONS", 204), ("PUT", 405)):
        reply = await caller.request(method, same[0].path())
        assert (reply.status_code, reply.headers["Allow"]) == (status, allowed)


async def test_head_without_a_route_of_get_is_405(caller: httpx.AsyncClient) -> None:
    reply = await caller.head("/avro/verify")
    assert (reply.status_code, reply.headers["Allow"]) == (405, "OPTIONS, POST")
