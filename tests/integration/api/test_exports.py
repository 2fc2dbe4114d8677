"""GET /{table} as CSV and NDJSON: the same rows as the pages of the list."""

from __future__ import annotations

import gzip
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.core.reads import paths
from tests.support.lists import CSV, HIRES, NDJSON, Parameters, as_csv, as_lines, in_python, queries


async def all_rows(client: httpx.AsyncClient) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = (await client.get("/employees?limit=1000")).json()["rows"]
    assert len(rows) == len(HIRES)
    return rows


def texts(rows: list[dict[str, Any]]) -> list[dict[str, str]]:
    return [{name: str(value) for name, value in row.items()} for row in rows]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(query=queries, scan=st.sampled_from([2, 20, 10_000]))
async def test_any_query_is_exported_as_it_is_listed(
    hires: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, query: Parameters, scan: int
) -> None:
    expected = in_python(await all_rows(hires), query)
    monkeypatch.setattr(paths, "SCAN", scan)
    assert await as_lines(hires, "/employees", **query) == expected
    assert await as_csv(hires, "/employees", **query) == texts(expected)


async def test_the_names_of_parents_are_columns(hires: httpx.AsyncClient) -> None:
    query: Parameters = {"expand": "department,job", "department_id": 3, "order": "-datetime"}
    listed = (await hires.get("/employees", params=query)).json()["rows"]
    assert listed[0]["department"] == "departments 3"
    assert await as_lines(hires, "/employees", **query) == listed
    assert await as_csv(hires, "/employees", **query) == texts(listed)


async def test_a_file_can_start_in_the_middle(hires: httpx.AsyncClient) -> None:
    for order in ("id", "-datetime", "name"):
        first = (await hires.get("/employees", params={"order": order, "limit": 100})).json()
        rest = await as_lines(hires, "/employees", order=order, after=first["next"])
        assert [*first["rows"], *rest] == await as_lines(hires, "/employees", order=order)


async def test_formulas_are_escaped_on_request(hires: httpx.AsyncClient) -> None:
    plain = [row["name"] for row in await as_csv(hires, "/employees")]
    escaped = [row["name"] for row in await as_csv(hires, "/employees", formulas="escape")]
    assert "=1+1" in plain
    assert "'=1+1" in escaped
    assert escaped == [f"'{name}" if name.strip()[0] in "=+-@" else name for name in plain]


@pytest.mark.parametrize(
    ("query", "headers"),
    [
        ("limit=5", CSV),
        ("count=exact", NDJSON),
        ("formulas=escape", NDJSON),
        ("formulas=escape", {}),
        ("formulas=some", CSV),
        ("department_id=x", CSV),
        ("after=x", NDJSON),
    ],
)
async def test_a_parameter_that_a_file_does_not_take_is_refused(
    hires: httpx.AsyncClient, query: str, headers: dict[str, str]
) -> None:
    reply = await hires.get(f"/employees?{query}", headers=headers)
    assert reply.status_code == 400
    assert reply.headers["Content-Type"] == "application/problem+json"
    assert reply.json()["errors"][0]["key"] == query.partition("=")[0]


@pytest.mark.parametrize(
    ("accepted", "zipped"),
    [
        *(("gzip", True), ("br, GZIP;q=0.5", True), ("identity;q=0, *", True)),
        *(("gzip;q=0", False), ("identity", False), ("*", False), ("*;q=0", False)),
        ("gzip;q=0, *", False),
    ],
)
async def test_a_file_is_compressed_if_the_client_accepts_it(
    hires: httpx.AsyncClient, accepted: str, zipped: bool
) -> None:
    plain = (await hires.get("/employees", headers=CSV | {"Accept-Encoding": ""})).content
    headers = CSV | {"Accept-Encoding": accepted}
    async with hires.stream("GET", "/employees", headers=headers) as reply:
        raw = b"".join([chunk async for chunk in reply.aiter_raw()])
    assert ("Content-Encoding" in reply.headers) == zipped
    assert {"Accept", "Accept-Encoding"} == set(reply.headers["Vary"].split(", "))
    assert (gzip.decompress(raw) if zipped else raw) == plain


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("*/*", "application/json"),
        ("text/html,application/xhtml+xml,*/*;q=0.8", "application/json"),
        ("image/png", "application/json"),
        ("text/csv;q=0.5, application/x-ndjson", "application/x-ndjson"),
        ("text/csv;q=0", "application/json"),
        ("text/csv; q=0.0, */*", "application/json"),
        ("text/*", "text/csv"),
    ],
)
async def test_the_preferred_media_type_is_sent(
    hires: httpx.AsyncClient, accept: str, media_type: str
) -> None:
    reply = await hires.get("/jobs", headers={"Accept": accept})
    assert reply.headers["Content-Type"].partition(";")[0] == media_type


async def test_a_link_names_the_media_type(hires: httpx.AsyncClient) -> None:
    """`format` does what `Accept` does, and wins over it."""
    for path in ("/employees?department_id=3&order=-name", "/rejects?table=jobs"):
        for name, headers in (("csv", CSV), ("ndjson", NDJSON), ("json", {})):
            expected = await hires.get(path, headers=headers)
            for accept in ("text/html,*/*;q=0.8", "application/x-ndjson", "text/csv"):
                reply = await hires.get(f"{path}&format={name}", headers={"Accept": accept})
                assert reply.content == expected.content
                assert reply.headers["Content-Type"] == expected.headers["Content-Type"]
    following = await hires.get("/employees?format=json&limit=1", headers=CSV)
    assert "format=json" in following.links["next"]["url"]
    refused = await hires.get("/employees?format=xml")
    assert (refused.status_code, "json, ndjson, csv" in refused.json()["detail"]) == (400, True)
    assert (await hires.get("/employees?format=csv&limit=5")).status_code == 400
