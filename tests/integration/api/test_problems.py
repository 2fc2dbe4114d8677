"""Every error over HTTP has the same shape and reveals nothing internal."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import httpx
import msgspec
import pytest
from litestar import Request

from service.core.database.connect import connect
from service.core.database.migrations import migrate
from service.core.database.transactions import Database
from service.core.settings import Settings
from service.web import problems
from tests.conftest import calling
from tests.support import engine
from tests.support.tcp_proxy import Proxy

JSON = {"Content-Type": "application/json"}
INTERNAL = ("Traceback", "mysql", "litestar", "SELECT", "INSERT", "/service/", ".py", "0x")


@dataclass(frozen=True)
class Source:
    """A request that ends in an error."""

    status: int
    method: str
    path: str
    request: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.status} {self.method} {self.path}"


def post(status: int, path: str, content: bytes, **headers: str) -> Source:
    sent = JSON | {name.replace("_", "-"): value for name, value in headers.items()}
    return Source(status, "POST", path, {"content": content, "headers": sent})


ROW = b'{"job":"Clerk"}'
SOURCES = [
    Source(404, "GET", "/console/nothing"),
    Source(404, "GET", "/console/tables/nothing"),
    Source(403, "POST", "/jobs", {"headers": {"Origin": "http://elsewhere.test"}}),
    Source(404, "GET", "/nothing"),
    Source(404, "GET", "/hired_employees"),
    Source(404, "GET", "/departments/2147483647"),
    Source(404, "GET", "/departments/0"),
    Source(404, "GET", "/departments/-1"),
    Source(404, "GET", "/departments/99999999999999999999"),
    Source(404, "GET", "/departments/one"),
    Source(404, "GET", "/departments/1/2"),
    Source(404, "GET", "/rejects?table=nothing"),
    Source(404, "GET", "/avro/backup/nothing"),
    Source(404, "GET", "/health/nothing"),
    Source(404, "GET", "/schema/nothing"),
    Source(404, "POST", "/avro/restore/nothing", {"content": b"Obj\x01"}),
    Source(405, "DELETE", "/departments"),
    Source(405, "PUT", "/jobs/1", {"json": {"job": "Clerk"}}),
    Source(405, "PATCH", "/employees", {"json": {}}),
    Source(405, "POST", "/rejects", {"json": []}),
    Source(405, "POST", "/health/live"),
    Source(400, "GET", "/departments?limit=0"),
    Source(400, "GET", "/departments?limit=1001"),
    Source(400, "GET", "/departments?limit=many"),
    Source(400, "GET", "/departments?after=-1"),
    Source(400, "GET", "/departments?after=99999999999999999999"),
    Source(400, "GET", "/departments?after=1.5"),
    Source(400, "GET", "/rejects?source=nothing"),
    Source(400, "GET", "/avro/backup/jobs?codec=nothing"),
    Source(400, "POST", "/avro/restore/jobs?mode=nothing", {"content": b"Obj\x01"}),
    Source(400, "POST", "/avro/restore/jobs?dry_run=perhaps", {"content": b"Obj\x01"}),
    post(400, "/jobs", b""),
    post(400, "/jobs", b"job=Clerk"),
    post(400, "/jobs", b"[" + ROW + b",]"),
    post(400, "/jobs", b'[{"job":"\xff"}]'),
    post(400, "/jobs", b"[" * 100_000),
    post(400, "/jobs", b'"Clerk"'),
    post(413, "/jobs", b"[" + b" " * (11 << 20) + b"]"),
    post(415, "/jobs", ROW, Content_Type="image/png"),
    post(415, "/jobs", ROW, Content_Encoding="compress"),
    post(422, "/jobs", b"[]"),
    post(422, "/jobs", b"[" + b",".join([ROW] * 1001) + b"]"),
    post(422, "/avro/restore/jobs", b"id,job\n1,Clerk\n", Content_Type="application/avro"),
    post(422, "/avro/restore/jobs", b"", Content_Type="application/avro"),
    Source(400, "POST", "/avro/restore/jobs", {"files": {"wrong": b"Obj\x01"}}),
]


def assert_problem(reply: httpx.Response, status: int) -> None:
    """The shape of RFC 9457, and nothing internal in it."""
    assert reply.status_code == status, reply.text
    assert reply.headers["Content-Type"] == "application/problem+json"
    body = reply.json()
    assert {"type", "title", "status", "detail"} <= body.keys()
    assert (body["status"], body["title"]) == (status, HTTPStatus(status).phrase)
    assert isinstance(body["detail"], str)
    assert body["detail"]
    assert [word for word in INTERNAL if word in reply.text] == []


@pytest.mark.parametrize("source", SOURCES, ids=str)
async def test_every_error_has_the_same_shape(caller: httpx.AsyncClient, source: Source) -> None:
    assert_problem(
        await caller.request(source.method, source.path, **source.request), source.status
    )


async def test_nothing_is_written_by_a_request_that_ends_in_a_problem(
    client: httpx.AsyncClient, database: Database
) -> None:
    for source in SOURCES:
        await client.request(source.method, source.path, **source.request)
    for table in ("departments", "jobs", "hired_employees", "rejects"):
        assert await database.fetch(f"SELECT COUNT(*) FROM {table}") == [(0,)]


async def test_a_405_lists_the_allowed_methods(caller: httpx.AsyncClient) -> None:
    reply = await caller.delete("/departments")
    assert {"GET", "POST"} <= {method.strip() for method in reply.headers["Allow"].split(",")}


async def test_a_bad_parameter_is_named(caller: httpx.AsyncClient) -> None:
    problem = (await caller.get("/rejects?limit=0&after=x")).json()
    assert {error["key"] for error in problem["errors"]} == {"limit", "after"}
    assert "'limit': Expected" in problem["detail"]


LONG = "9" * 4000
LONG_REQUESTS = [
    *(f"/departments?limit={LONG}", f"/departments?after=x{LONG}", f"/departments?{LONG}=1"),
    *(f"/departments/{LONG}", f"/rejects?table={LONG}", f"/rejects?source={LONG}"),
    *(f"/avro/backup/{LONG}", f"/avro/backup/jobs?codec={LONG}", f"/schema/assets/{LONG}"),
    *(f"/reports/hires-by-quarter?year={LONG}", f"/console/tables/{LONG}", f"/{LONG}"),
]


@pytest.mark.parametrize("path", LONG_REQUESTS, ids=lambda path: path[:40])
async def test_a_problem_repeats_little_of_a_long_request(
    caller: httpx.AsyncClient, path: str
) -> None:
    reply = await caller.get(path)
    assert 400 <= reply.status_code < 500
    assert len(reply.content) < 3000


@pytest.mark.parametrize("path", ["/departments", "/schema/openapi.json"])
async def test_missing_credentials_are_a_problem(caller: httpx.AsyncClient, path: str) -> None:
    assert_problem(await caller.get(path, auth=None), 401)


async def test_orphans_are_a_problem(client: httpx.AsyncClient) -> None:
    backup = (await client.get("/avro/backup/departments")).content
    await _hire_someone(client)
    reply = await client.post("/avro/restore/departments", content=backup)
    assert_problem(reply, 409)
    assert reply.json()["orphans"] == 1


async def _hire_someone(client: httpx.AsyncClient) -> None:
    (department,) = (await client.post("/departments", json={"department": "A"})).json()["ids"]
    (job,) = (await client.post("/jobs", json={"job": "B"})).json()["ids"]
    moment = "2021-07-27T16:02:08Z"
    row = {"name": "C", "datetime": moment, "department_id": department, "job_id": job}
    assert (await client.post("/employees", json=row)).status_code == 201


@pytest.fixture
async def cut(
    proxy: Proxy, database: Database, migrated: Settings
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an application that loses its database after the start."""
    async with calling(engine.through(proxy, migrated)) as client:
        proxy.refusing = True
        proxy.cut()
        yield client


@pytest.mark.parametrize("path", ["/departments", "/jobs/1", "/rejects", "/health/ready"])
async def test_an_unavailable_database_is_503_with_retry_after(
    cut: httpx.AsyncClient, path: str
) -> None:
    reply = await cut.get(path)
    assert_problem(reply, 503)
    assert int(reply.headers["Retry-After"]) >= 1


async def test_a_batch_without_a_database_is_503(cut: httpx.AsyncClient) -> None:
    assert_problem(await cut.post("/jobs", content=ROW, headers=JSON), 503)


async def test_the_process_stays_alive_without_its_database(cut: httpx.AsyncClient) -> None:
    assert (await cut.get("/health/live")).status_code == 200


async def test_the_service_recovers_with_its_database(cut: httpx.AsyncClient, proxy: Proxy) -> None:
    assert (await cut.get("/health/ready")).status_code == 503
    proxy.refusing = False
    assert (await cut.get("/health/ready")).status_code == 200


@pytest.fixture
async def broken(scratch: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an application with broken tables."""
    async with connect(scratch) as database:
        await migrate(database)
        async with database.transaction() as transaction:
            await transaction.execute("DROP TABLE hired_employees")
            await transaction.execute("ALTER TABLE jobs DROP COLUMN job")
    async with calling(scratch) as client:
        yield client


@pytest.mark.parametrize(
    ("method", "path", "row"),
    [
        ("GET", "/employees", None),
        ("GET", "/jobs/1", None),
        ("POST", "/jobs", {"job": "Clerk"}),
    ],
)
async def test_an_internal_error_is_reported_only_in_the_log(
    broken: httpx.AsyncClient, caplog: pytest.LogCaptureFixture, method: str, path: str, row: object
) -> None:
    with caplog.at_level(logging.ERROR, "hirebase"):
        content = msgspec.json.encode(row) if row else None
        reply = await broken.request(method, path, content=content, headers=JSON)
    assert_problem(reply, 500)
    assert f"the id of this request, {reply.headers['X-Request-ID']}:" in reply.json()["detail"]
    assert "job" not in reply.text
    assert "hired_employees" not in reply.text
    assert path in caplog.text


def test_a_path_cannot_add_lines_to_the_log(caplog: pytest.LogCaptureFixture) -> None:
    scope: Any = {"type": "http", "method": "GET", "path": "/x\n2026 [info] forged\x1b[2J\u2028"}
    problems.of_unexpected(Request(scope), ValueError())
    (record,) = caplog.records
    assert record.getMessage().isprintable()


@pytest.fixture
async def contended(scratch: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an application whose departments end every query as a deadlock does."""
    async with connect(scratch) as database:
        await migrate(database)
        async with database.transaction() as transaction:
            await transaction.execute(
                "CREATE FUNCTION contended() RETURNS INT DETERMINISTIC NO SQL "
                "BEGIN SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = 1213; RETURN 1; END"
            )
            await transaction.execute("RENAME TABLE departments TO behind")
            await transaction.execute(
                "CREATE VIEW departments AS SELECT contended() AS id, 'A' AS department"
            )
    async with calling(msgspec.structs.replace(scratch, mysql_timeout=2)) as client:
        yield client


async def test_a_read_that_meets_deadlocks_until_its_deadline_is_503(
    contended: httpx.AsyncClient,
) -> None:
    reply = await contended.get("/departments/1")
    assert_problem(reply, 503)
    assert int(reply.headers["Retry-After"]) >= 1
