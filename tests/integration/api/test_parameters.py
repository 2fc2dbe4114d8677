"""Unknown query parameters are refused on every route, before the request has any effect."""

from __future__ import annotations

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.core.database.transactions import Database
from tests.support.hires import count
from tests.support.routes import ENDPOINTS, Endpoint

PAGES = [one for one in ENDPOINTS if one.method == "GET" and one.template.startswith("/console/")]
ROW = {"department": "Sales"}
KNOWN = next(one.query for one in ENDPOINTS if str(one) == "GET /departments")
every_endpoint = pytest.mark.parametrize("endpoint", ENDPOINTS, ids=str)


@every_endpoint
async def test_an_unknown_parameter_is_named_with_the_known_ones(
    caller: httpx.AsyncClient, endpoint: Endpoint
) -> None:
    reply = await caller.request(endpoint.method, endpoint.path(), params={"dryrun": "true"})
    assert reply.status_code == 400
    problem = reply.json()
    assert reply.headers["Content-Type"] == "application/problem+json"
    assert "dryrun" in problem["detail"]
    assert all(name in problem["detail"] for name in endpoint.query)
    assert problem["errors"][0]["key"] == "dryrun"


@pytest.mark.parametrize(
    ("endpoint", "name"),
    [(one, name) for one in ENDPOINTS for name in one.query if name not in one.several],
    ids=str,
)
async def test_a_repeated_parameter_is_refused(
    caller: httpx.AsyncClient, endpoint: Endpoint, name: str
) -> None:
    for values in (["1", "1"], ["", "1"]):
        reply = await caller.request(endpoint.method, endpoint.path(), params={name: values})
        assert reply.status_code == 400
        assert name in reply.json()["detail"]
        assert "once" in reply.json()["detail"]
        assert "once" in reply.json()["errors"][0]["message"]


@every_endpoint
async def test_parameters_are_not_revealed_without_credentials(
    caller: httpx.AsyncClient, endpoint: Endpoint
) -> None:
    url = f"{endpoint.path()}?dryrun=true"
    reply = await caller.request(endpoint.method, url, auth=None)
    assert reply.status_code == (400 if url.startswith("/health/") else 401)


@pytest.mark.parametrize("endpoint", PAGES, ids=str)
async def test_browsers_get_a_page(caller: httpx.AsyncClient, endpoint: Endpoint) -> None:
    reply = await caller.get(f"{endpoint.path()}?dryrun=<b>", headers={"Accept": "text/html"})
    assert reply.status_code == 400
    assert reply.headers["Content-Type"].startswith("text/html")
    assert "dryrun" in reply.text
    assert "<b>" not in reply.text


@pytest.mark.parametrize(
    "query",
    ["dryrun=true", "dry_run=true&mode=atomic&x", "dry_run=true&dry_run=false", "%64ryrun=1", "=1"],
)
async def test_nothing_is_written_by_a_request_with_a_typing_error(
    client: httpx.AsyncClient, database: Database, query: str
) -> None:
    rows = [ROW, {"department": ""}]
    assert (await client.post(f"/departments?{query}", json=rows)).status_code == 400
    assert await count(database, "departments") == 0
    assert await count(database, "rejects") == 0


names = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(name=names.filter(lambda name: name not in KNOWN), value=names)
async def test_any_unknown_name_is_refused(
    caller: httpx.AsyncClient, name: str, value: str
) -> None:
    reply = await caller.get("/departments", params={name: value})
    assert reply.status_code == 400
    assert reply.json()["errors"][0]["key"] == name[:100]


@pytest.mark.parametrize("query", ["?", "?&", "?&&", "?after=0&", "?&limit=1"])
async def test_a_query_with_known_parameters_is_accepted(
    caller: httpx.AsyncClient, query: str
) -> None:
    assert (await caller.get(f"/departments{query}")).status_code == 200
