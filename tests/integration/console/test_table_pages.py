"""The page of a table: its search finds what a filter in Python finds over all rows."""

from __future__ import annotations

import html
import re
from typing import Any
from urllib.parse import urljoin

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.core.reads import paths
from service.core.tables import TABLES
from tests.support.console import HTML
from tests.support.lists import HIRES, Parameters, Row, in_python, queries

EMPLOYEES = "/console/tables/employees"


async def shown(client: httpx.AsyncClient, address: str, **query: Any) -> str:
    reply = await client.get(address, params=query or None, headers=HTML)
    assert reply.status_code == 200, reply.text
    return reply.text


def ids_in(page: str) -> list[int]:
    """The ids of the rows of a page."""
    found = re.findall(r'<a href="/console/tables/\w+/(\d+)">(\d+)</a>', page)
    return [int(link) for link, text in found if link == text]


def address_of(page: str, text: str) -> str | None:
    """The address of a link or a button by its text."""
    plain = re.sub(r"<svg.*?</svg>", "", page)
    found = re.search(rf'<a [^>]*href="([^"]*)"[^>]*>{text}</a>', plain)
    return html.unescape(found[1]) if found else None


async def all_ids(client: httpx.AsyncClient, address: str, **query: Any) -> list[int]:
    """The ids on all pages of a search."""
    page = await shown(client, address, **query)
    ids = ids_in(page)
    while link := address_of(page, "Next page") or address_of(page, "Continue the search"):
        page = await shown(client, urljoin(address, link))
        ids += ids_in(page)
    return ids


async def every(client: httpx.AsyncClient) -> list[Row]:
    rows: list[Row] = (await client.get("/employees?limit=1000&expand=department,job")).json()[
        "rows"
    ]
    assert len(rows) == len(HIRES)
    return rows


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=10)
@given(query=queries, scan=st.sampled_from([20, 10_000]))
async def test_any_search_finds_what_a_filter_in_python_finds(
    hires: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, query: Parameters, scan: int
) -> None:
    expected = [row["id"] for row in in_python(await every(hires), query)]
    monkeypatch.setattr(paths, "SCAN", scan)
    assert await all_ids(hires, EMPLOYEES, **query) == expected
    page = await shown(hires, EMPLOYEES, **query)
    file = await hires.get(address_of(page, "NDJSON") or "/jobs?id=999&format=ndjson")
    assert [int(key) for key in re.findall(r'(?m)^{"id":(\d+)', file.text)] == expected


@pytest.mark.parametrize(
    ("query", "matches"),
    [
        ({"department": "departments 3"}, {"department_id": [3]}),
        ({"department": "dep", "job": "jobs 5"}, {"job_id": [5]}),
        ({"department": "departments 2", "department_id": "2"}, {"department_id": [2]}),
        ({"department": "dep", "department_id": ["2", "4"]}, {"department_id": [2, 4]}),
        ({"hired_from": "2021-01-01", "hired_before": "2021-06-30"}, {}),
    ],
)
async def test_parents_are_searched_by_name_and_moments_by_day(
    hires: httpx.AsyncClient, query: Parameters, matches: Parameters
) -> None:
    days = {name: f"{text}T00:00:00Z" for name, text in query.items() if name.startswith("hired")}
    expected = [row["id"] for row in in_python(await every(hires), matches | days)]
    assert expected
    assert await all_ids(hires, EMPLOYEES, **query) == expected


@pytest.mark.parametrize(
    ("query", "status", "text"),
    [
        ("id=x", 400, "must be a whole number"),
        ("id=2147483648", 400, "must be between 1 and"),
        ("name=%20", 400, "must not be blank"),
        ("hired_from=2021-02-30", 400, "is no real date"),
        ("hired_before=yesterday", 400, "is not an ISO 8601"),
        ("department=%00", 400, "control character"),
        ("department_id=x&department=dep", 400, "must be a whole number"),
        ("department=Nowhere", 200, "No department begins with this."),
        ("job=JOBS", 200, "No job begins with this."),
    ],
)
async def test_an_error_is_beside_its_input(
    hires: httpx.AsyncClient, query: str, status: int, text: str
) -> None:
    reply = await hires.get(f"{EMPLOYEES}?{query}", headers=HTML)
    assert reply.status_code == status
    name = query.partition("=")[0]
    label = re.search(rf'<label>[^<]*<input name="{name}".*?</label>', reply.text, re.DOTALL)
    assert label
    assert text in html.unescape(label[0])
    assert 'aria-invalid="true"' in label[0]
    assert ids_in(reply.text) == []


@pytest.mark.parametrize(
    "query",
    [
        *("nonsense=1", "salary_from=1", "order=salary", "after=x", "count=about", "limit=5"),
        # `department` may have several values, but only as a filter of departments.
        *("department=dep&department=d", "job=jobs+1&job=jobs+2", "hired_from=2021-01-01&" * 2),
    ],
)
async def test_a_parameter_that_the_page_does_not_know_is_400(
    hires: httpx.AsyncClient, query: str
) -> None:
    reply = await hires.get(f"{EMPLOYEES}?{query}", headers=HTML)
    assert (reply.status_code, query.partition("=")[0] in reply.text) == (400, True)
    assert (await hires.get("/console/tables/jobs?name=A", headers=HTML)).status_code == 400
    several = await all_ids(hires, "/console/tables/jobs", job=["jobs 1", "jobs 2"])
    assert several == [1, 2]


async def test_empty_inputs_are_no_filters(hires: httpx.AsyncClient) -> None:
    """As a browser without scripts sends the form."""
    query = "id=&name=&hired_from=&hired_before=&department=departments+3&job="
    found = await all_ids(hires, f"{EMPLOYEES}?{query}")
    assert found == await all_ids(hires, EMPLOYEES, department_id="3")


async def test_the_count_is_exact_or_a_lower_bound(
    hires: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def counted(**query: Any) -> str:
        page = await shown(hires, EMPLOYEES, **query)
        (text,) = re.findall(r'<p class="found">(.*?)</p>', page, re.DOTALL)
        return " ".join(re.sub("<[^>]*>", "", text).split(" · ")[0].split())

    assert await counted() == "150 rows"
    assert await counted(name="Ana%") == "8 rows"
    monkeypatch.setattr(paths, "SCAN", 60)
    assert await counted() == "At least 60 rows"
    assert await counted(count="exact") == "150 rows"
    assert await counted(department_id="3") == "30 rows"
    few = await counted(department_id=["1", "2", "3"], job_id=["1", "2", "5"], order="-id")
    assert few.startswith("At least ")
    page = await shown(hires, EMPLOYEES, department_id="3", order="name")
    assert address_of(page, "Count all") is None


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.path)
async def test_heads_sort_by_the_orders_of_the_api(hires: httpx.AsyncClient, table: Any) -> None:
    address = f"/console/tables/{table.path}"
    sorts = ["id", *(field.name for field in table.fields if field.index and not field.references)]
    page = await shown(hires, address)
    heads = re.findall(r'aria-sort="(\w+)"[^>]*><a href="([^"]*)"', page)
    assert [sort for sort, _ in heads] == ["ascending", *["none"] * (len(sorts) - 1)]
    assert [html.unescape(link) for _, link in heads] == [
        f"{address}?order={'-' * (name == 'id')}{name}" for name in sorts
    ]
    for _, link in heads:
        order = link.partition("order=")[2]
        listed = (await hires.get(f"/{table.path}?order={order}&limit=50")).json()["rows"]
        page = await shown(hires, html.unescape(link))
        assert ids_in(page) == [row["id"] for row in listed]
        expected = "descending" if order[0] == "-" else "ascending"
        assert re.findall(r'aria-sort="(\w+ing)"', page) == [expected]


async def test_files_have_the_names_that_are_shown(hires: httpx.AsyncClient) -> None:
    page = await shown(hires, EMPLOYEES, department="departments 3", order="-name")
    link = address_of(page, "CSV")
    assert link
    file = await hires.get(link, headers={"Accept": "text/html,*/*;q=0.8"})
    assert file.headers["Content-Disposition"].startswith("attachment")
    head, first, *_ = file.text.splitlines()
    assert head == "id,name,datetime,department_id,job_id,department,job"
    assert "departments 3" in first
    assert len(file.text.splitlines()) == 31
    assert '"\'=1+1"' in (await hires.get("/employees?format=csv&formulas=escape")).text


async def test_a_page_keeps_the_search_in_its_links(hires: httpx.AsyncClient) -> None:
    page = await shown(hires, EMPLOYEES, department="dep", order="name", name="A")
    for text in ("Next page", "name"):
        link = address_of(page, text)
        assert link
        assert {"department=dep", "name=A"} <= set(link.partition("?")[2].split("&"))
    assert "order=-name" in (address_of(page, "name") or "")
    second = await shown(hires, address_of(page, "Next page") or "")
    first = address_of(second, "First page") or ""
    assert sorted(first.partition("?")[2].split("&")) == ["department=dep", "name=A", "order=name"]


async def test_a_page_chooses_its_index_once(
    hires: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen: list[object] = []
    choose = paths.path_of

    async def counting(*args: Any) -> paths.Path:
        chosen.append(args)
        return await choose(*args)

    monkeypatch.setattr(paths, "path_of", counting)
    assert address_of(await shown(hires, EMPLOYEES, department_id=["3", "4"]), "Next page")
    assert len(chosen) == 1


async def test_a_page_without_a_match_says_how_many_rows_it_read(
    hires: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paths, "SCAN", 2)
    page = await shown(hires, EMPLOYEES, department_id=["3", "4"], job_id=["3", "5"])
    assert "A page reads at most 2 rows" in page
