"""Basic authentication on every route except the probes."""

from __future__ import annotations

from base64 import b64encode

import httpx
import msgspec
import pytest

from service.core.database.transactions import Database
from service.core.settings import Settings
from service.web.access.hidden_routes import OPEN_PATH
from tests.conftest import PASSWORD, USER, calling
from tests.support.routes import ENDPOINTS


def basic(text: bytes) -> str:
    return f"Basic {b64encode(text).decode()}"


RIGHT = f"{USER}:{PASSWORD}".encode()
REFUSED = {
    "nothing": b"",
    "another scheme": f"Bearer {b64encode(RIGHT).decode()}".encode(),
    "no scheme": b64encode(RIGHT),
    "no token": b"Basic",
    "an empty token": b"Basic ",
    "no base64": b"Basic ???",
    "base64 without its end": basic(RIGHT)[:-1].encode(),
    "bytes beyond ASCII": b"Basic YWRtaW4\xff",
    "no colon": basic(USER.encode()).encode(),
    "an empty password": basic(f"{USER}:".encode()).encode(),
    "an empty user": basic(f":{PASSWORD}".encode()).encode(),
    "a wrong password": basic(f"{USER}:wrong".encode()).encode(),
    "a wrong user": basic(f"root:{PASSWORD}".encode()).encode(),
    "a password cut short": basic(RIGHT[:-1]).encode(),
    "a password and more": basic(RIGHT + b"x").encode(),
    "another case": basic(RIGHT.upper()).encode(),
    "a newline after it": basic(RIGHT + b"\n").encode(),
    "a null byte": basic(RIGHT + b"\x00").encode(),
    "no UTF-8": basic(b"\xff\xfe:\xff").encode(),
}
CLOSED = [endpoint for endpoint in ENDPOINTS if not endpoint.template.startswith(f"{OPEN_PATH}/")]


@pytest.mark.parametrize("header", REFUSED.values(), ids=REFUSED)
async def test_wrong_credentials_get_401(client: httpx.AsyncClient, header: bytes) -> None:
    reply = await client.get("/departments", headers={b"Authorization": header}, auth=None)
    assert reply.status_code == 401
    assert reply.headers["WWW-Authenticate"] == 'Basic realm="hirebase", charset="UTF-8"'


async def test_every_route_requires_credentials(client: httpx.AsyncClient) -> None:
    assert {"POST /employees", "GET /metrics", "GET /schema"} <= set(map(str, CLOSED))
    for endpoint in CLOSED:
        for method in (endpoint.method, "OPTIONS"):
            reply = await client.request(method, endpoint.path(), auth=None)
            assert reply.status_code == 401, endpoint


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/departments/1/2", 404),
        ("GET", "/static/nothing.css", 404),
        ("DELETE", "/departments", 405),
        ("OPTIONS", "/nothing", 404),
    ],
)
async def test_unknown_routes_require_credentials(
    client: httpx.AsyncClient, method: str, path: str, status: int
) -> None:
    assert (await client.request(method, path)).status_code == status
    for auth in (None, (USER, "wrong")):
        reply = await client.request(method, path, auth=auth)
        assert reply.status_code == 401
        assert reply.headers["WWW-Authenticate"]
        assert reply.headers["Content-Type"] == "application/problem+json"
        assert reply.headers["X-Request-ID"]
        assert "Allow" not in reply.headers


async def test_attempts_on_unknown_routes_count(
    client: httpx.AsyncClient,
) -> None:
    replies = [await client.get("/nothing", auth=(USER, f"{at}")) for at in range(11)]
    assert [reply.status_code for reply in replies] == [401] * 10 + [429]


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/health/nothing", 404), ("POST", "/health/live", 405)]
)
async def test_routes_next_to_the_probes_need_no_credentials(
    client: httpx.AsyncClient, method: str, path: str, status: int
) -> None:
    assert (await client.request(method, path, auth=None)).status_code == status


async def test_a_body_without_credentials_writes_nothing(
    client: httpx.AsyncClient, database: Database
) -> None:
    await client.post("/departments", json=[{"department": "Sales"}], auth=("", ""))
    assert await database.fetch("SELECT COUNT(*) FROM departments") == [(0,)]
    assert await database.fetch("SELECT COUNT(*) FROM rejects") == [(0,)]


@pytest.mark.parametrize("path", ["/health/live", "/health/ready"])
async def test_the_probes_need_no_credentials(client: httpx.AsyncClient, path: str) -> None:
    assert (await client.get(path, auth=None)).status_code == 200
    assert (
        await client.get(path, headers={"Authorization": "nonsense"}, auth=None)
    ).status_code == 200


@pytest.mark.parametrize(
    "password", ["pässwörd", "密码😀", "with:colon", " spaced ", 'q"uo\\te', "x"]
)
async def test_any_password_of_unicode_works(migrated: Settings, password: str) -> None:
    settings = msgspec.structs.replace(migrated, api_user="ädmin", api_pass=password)
    async with calling(settings) as client:
        assert (await client.get("/departments")).status_code == 200
        wrong = httpx.BasicAuth("ädmin", f"{password}x")
        assert (await client.get("/departments", auth=wrong)).status_code == 401
