"""GET /{table} with filters and orders: the same rows as a filter in Python over all of them."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.core.reads import paths
from service.core.reads.orders import orders_of
from service.core.tables import TABLES, Table
from tests.support.hires import hire
from tests.support.lists import HIRES, Parameters, as_lines, in_python, listed, queries, walk


async def ids(client: httpx.AsyncClient, path: str, **parameters: Any) -> list[int]:
    return [row["id"] for row in await listed(client, path, 1000, **parameters)]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(query=queries, limit=st.integers(1, 40), scan=st.sampled_from([1, 5, 20, 10_000]))
async def test_any_query_equals_the_same_filter_in_python(
    hires: httpx.AsyncClient,
    monkeypatch: pytest.MonkeyPatch,
    query: Parameters,
    limit: int,
    scan: int,
) -> None:
    rows = await as_lines(hires, "/employees")  # a full export
    assert [(row["id"], row["name"]) for row in rows] == [one[:2] for one in HIRES]
    expected = in_python(rows, query)
    monkeypatch.setattr(paths, "SCAN", scan)
    assert await listed(hires, "/employees", max(limit, 150 // 20), **query) == expected
    counted = await hires.get("/employees", params=query | {"count": "exact", "limit": 1})
    assert counted.json()["count"] == len(expected)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.path)
async def test_every_order_of_a_table_visits_each_row_once(
    hires: httpx.AsyncClient, table: Table
) -> None:
    every = await ids(hires, f"/{table.path}")
    for name in orders_of(table):
        found = await listed(hires, f"/{table.path}", 7, order=name)
        assert sorted(row["id"] for row in found) == every
        column, rising = name.removeprefix("-"), name[0] != "-"
        values = [row[column] for row in found]
        if table.path != "employees":
            assert values == sorted(values, reverse=not rising)


async def test_departments_are_found_by_the_beginning_of_their_text(
    hires: httpx.AsyncClient,
) -> None:
    assert await ids(hires, "/departments", department="departments 3") == [3]
    assert await ids(hires, "/jobs", job=["jobs 2", "jobs 5"], order="-job") == [5, 2]
    assert await ids(hires, "/jobs", job="Jobs") == []


async def test_the_names_of_parents_are_added(hires: httpx.AsyncClient) -> None:
    plain = await listed(hires, "/employees", 1000)
    for expand in ("department,job", ["job", "department"]):
        rows = await listed(hires, "/employees", 50, expand=expand)
        assert rows == [
            {
                **row,
                "department": f"departments {row['department_id']}",
                "job": f"jobs {row['job_id']}",
            }
            for row in plain
        ]
    one = await listed(hires, "/employees", 50, expand="job", id=1)
    assert [sorted(row) for row in one] == [sorted([*hire(), "id", "job"])]


async def test_a_page_reads_a_limited_number_of_rows(
    hires: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paths, "SCAN", 20)
    query = {"department_id": [1, 2, 3], "job_id": [1, 2, 5]}
    pages = await walk(hires, "/employees", query, 100)
    assert len(pages) == 8
    assert all(len(page) < 20 for page in pages)
    assert all(before[-1]["id"] < after[0]["id"] for before, after in pairwise(pages))


@pytest.mark.parametrize(
    ("query", "name", "text"),
    [
        ("department_id=x", "department_id", "whole number"),
        ("department_id=05", "department_id", "whole number"),
        ("department_id=0", "department_id", "between 1 and"),
        ("department_id=1&department_id=", "department_id", "must not be empty"),
        ("id=2147483648", "id", "between 1 and"),
        ("name=", "name", "must not be empty"),
        ("name=%20", "name", "blank"),
        ("name=a%00", "name", "control character"),
        (f"name={'x' * 256}", "name", "255 are the limit"),
        ("&".join(f"name={number}" for number in range(21)), "name", "20 is the most"),
        ("&".join(f"id={number}" for number in range(1, 1002)), "id", "1000 is the most"),
        ("hired_from=2021-01-01", "hired_from", "ISO 8601"),
        ("hired_from=2021-01-01T00:00:00", "hired_from", "no offset"),
        ("hired_from=2021-01-01T00:00:00+02:00", "hired_from", "%2B"),
        ("hired_before=2021-02-30T00:00:00Z", "hired_before", "no real date"),
        ("order=salary", "order", "id, -id, name, -name, datetime, -datetime"),
        ("order=", "order", "id, -id"),
        ("count=about", "count", "exact"),
        ("expand=boss", "expand", "department, job"),
        *((f"limit={text}", "limit", "from 1 to 1000") for text in ("0", "1001", "05", "1.0", "")),
        ("after=x", "after", "must be an id"),
        ("after=-1", "after", "must be an id"),
        ("order=name&after=5", "after", "not from this list"),
        ("order=name&after=WyJuYW1lIiwxXQ", "after", "not from this list"),
        ("order=name&after=%C3%BC", "after", "not from this list"),
    ],
)
async def test_a_value_that_a_parameter_does_not_take_is_named(
    hires: httpx.AsyncClient, query: str, name: str, text: str
) -> None:
    reply = await hires.get(f"/employees?{query}")
    assert reply.status_code == 400
    problem = reply.json()
    assert reply.headers["Content-Type"] == "application/problem+json"
    assert (name in problem["detail"], text in problem["detail"]) == (True, True), problem
    assert problem["errors"][0]["key"] == name


@pytest.mark.parametrize("accept", ["application/json", "text/csv"])
async def test_every_wrong_parameter_is_named(hires: httpx.AsyncClient, accept: str) -> None:
    wrong = dict.fromkeys(("id", "hired_from", "limit", "count", "expand", "formulas"), "0")
    wrong |= {"name": "", "after": "x"}
    query = wrong | {"job_id": "1", "order": "-id"}
    reply = await hires.get("/employees", params=query, headers={"Accept": accept})
    assert reply.status_code == 400
    problem = reply.json()
    assert {error["key"] for error in problem["errors"]} == wrong.keys()
    assert all(
        f"Parameter {one['key']!r}: {one['message']}." in problem["detail"]
        for one in problem["errors"]
    )


async def test_a_token_belongs_to_its_order(hires: httpx.AsyncClient) -> None:
    token = (await hires.get("/employees?order=name&limit=1")).json()["next"]
    assert isinstance(token, str)
    assert (await hires.get(f"/employees?order=name&after={token}")).status_code == 200
    for order in ("-name", "datetime", "id"):
        reply = await hires.get(f"/employees?order={order}&after={token}")
        assert reply.status_code == 400


async def test_unknown_parameters_name_the_filters(hires: httpx.AsyncClient) -> None:
    detail = (await hires.get("/employees?departmnt_id=3")).json()["detail"]
    known = (
        "after, count, department_id, expand, format, formulas, hired_before, hired_from, id, "
        "job_id, limit, name, order"
    )
    assert f"Known: {known}." in detail
