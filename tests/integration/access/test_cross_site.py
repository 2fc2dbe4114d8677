"""Policies on pages, and changes that other sites request."""

from __future__ import annotations

import re

import httpx
import pytest

from service.core.database.transactions import Database
from tests.support.hires import count

HTML = {"Accept": "text/html"}
PAGES = [
    "/",
    "/console/tables/departments",
    "/console/tables/nonsense",
    "/console/load",
    "/console/backups",
    "/console/rejects?table=jobs&source=api&code=blank",
    "/console/reports",
    "/console/reports?year=0",
    "/console/jobs/nonsense",
]
OTHER_SITES = [
    {"Sec-Fetch-Site": "cross-site", "Origin": "http://evil.test"},
    {"Sec-Fetch-Site": "same-site"},
    {"Origin": "http://evil.test"},
    {"Origin": "null"},
]
OUR_SITE = [
    {},
    {"Origin": "http://test"},
    {"Sec-Fetch-Site": "same-origin", "Origin": "https://behind.a.proxy"},
    {"Sec-Fetch-Site": "none"},
]


@pytest.mark.parametrize("path", PAGES)
async def test_every_page_is_html_with_a_strict_policy(
    client: httpx.AsyncClient, path: str
) -> None:
    reply = await client.get(path, headers=HTML)
    assert reply.headers["Content-Type"].startswith("text/html")
    policy = reply.headers["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert not re.search(r"<style|<script>|\son\w+=|\sstyle=|javascript:|://", reply.text)


async def test_the_api_page_has_its_own_policy(client: httpx.AsyncClient) -> None:
    reply = await client.get("/schema")
    policy = reply.headers["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert policy.count("'sha256-") >= 1


@pytest.mark.parametrize("path", ["/console/jobs/nonsense", "/console/tables/nonsense"])
async def test_scripts_get_problems(client: httpx.AsyncClient, path: str) -> None:
    reply = await client.get(path)
    assert reply.status_code == 404
    assert reply.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("headers", OTHER_SITES)
@pytest.mark.parametrize("path", ["/departments", "/console/backups", "/avro/backup"])
async def test_requests_from_other_sites_are_refused(
    client: httpx.AsyncClient, database: Database, path: str, headers: dict[str, str]
) -> None:
    reply = await client.post(path, json={"department": "Sales"}, headers=headers)
    assert reply.status_code == 403
    assert await count(database, "departments") == 0


@pytest.mark.parametrize(
    ("host", "status"),
    [
        *(
            (host, 200)
            for host in ("test", "a.b:80", "127.0.0.1:8000", "[::1]:8000", "[::1]", "a_b")
        ),
        *(
            (host, 400)
            for host in ("", ":80", "a:", "a:x", "a:1:2", "a/b", "[::1", "a b", "user@a")
        ),
    ],
)
async def test_an_invalid_host_is_a_problem(
    client: httpx.AsyncClient, host: str, status: int
) -> None:
    reply = await client.get("/departments", headers={"Host": host})
    assert reply.status_code == status
    if status == 400:
        assert "Host" in reply.json()["detail"]
        assert reply.headers["X-Request-ID"]


@pytest.mark.parametrize("headers", OUR_SITE)
async def test_requests_from_our_pages_and_from_other_clients_are_accepted(
    client: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    reply = await client.post("/departments", json={"department": "Sales"}, headers=headers)
    assert reply.status_code == 201


async def test_requests_without_credentials_are_not_attempts(client: httpx.AsyncClient) -> None:
    """A browser sends its first requests without credentials."""
    replies = [await client.get("/", auth=None) for _ in range(15)]
    assert {reply.status_code for reply in replies} == {401}
