"""The page of rejects: what it lists, how it filters, and what a reader does not see."""

from __future__ import annotations

import html
import re
from pathlib import Path

import httpx
import pytest

from loader.loading.pipeline import load
from service.core.database.transactions import Database
from service.core.settings import Settings
from service.core.writes import rejects as log
from service.web.console.html import PAGE
from service.web.console.pages import rejects as page_of_rejects
from tests.conftest import calling
from tests.support.console import HTML
from tests.support.csv_files import Folder, hire
from tests.support.hires import add_parents


async def shown(client: httpx.AsyncClient, query: str = "") -> str:
    reply = await client.get(f"/console/rejects{query}", headers=HTML)
    assert reply.status_code == 200, reply.text
    return html.unescape(reply.text)


def chips(text: str) -> dict[str, str]:
    """The counts of the filters by code."""
    listed = text.partition('aria-label="Codes"')[2].partition("</nav>")[0]
    found = re.findall(r">([a-z ]+)(?: <span>([\d,+]+)</span>)?</a>", listed)
    return {name.strip(): count for name, count in found}


def listed(text: str) -> list[str]:
    """The place of each reject, newest first."""
    return re.findall(r"</a>, (line \d+|row \d+)<br>", text)


@pytest.fixture
async def some(api: httpx.AsyncClient, database: Database, tmp_path: Path) -> httpx.AsyncClient:
    """Rejects of a file and of a request."""
    folder = Folder(tmp_path)
    folder.write(hired_employees=[hire(1, department="two"), hire(2, department="two"), "3,x"])
    await load(database, folder.options())
    await api.post("/jobs", json=[{"job": "Clerk"}, {"job": " "}, {"job": 5, "other": 1}])
    return api


async def test_the_page_lists_open_rejects_with_their_faults(some: httpx.AsyncClient) -> None:
    text = await shown(some)
    assert listed(text) == ["row 3", "row 2", "line 3", "line 2", "line 1"]
    assert chips(text) == {
        "all": "5",
        "type": "3",
        "malformed": "1",
        "blank": "1",
        "unknown field": "1",
    }
    assert text.count("<mark>two</mark>") == 2
    assert "<mark>5</mark>" in text
    assert "<mark>1</mark>" in text


@pytest.mark.parametrize(
    ("query", "places", "all_of_it"),
    [
        ("?table=jobs", ["row 3", "row 2"], "2"),
        ("?source=loader", ["line 3", "line 2", "line 1"], "3"),
        ("?origin=hired_employees.csv&code=malformed", ["line 3"], "3"),
        ("?origin=other.csv", [], "0"),
        ("?code=blank", ["row 2"], "5"),
        ("?state=corrected", [], ""),
    ],
)
async def test_the_page_is_filtered(
    some: httpx.AsyncClient, query: str, places: list[str], all_of_it: str
) -> None:
    text = await shown(some, query)
    assert listed(text) == places
    assert chips(text)["all"] == all_of_it
    assert ('class="empty"' in text) is (not places)


async def test_the_tabs_show_the_outcomes_of_rejects(some: httpx.AsyncClient) -> None:
    first, second, *_ = (await some.get("/rejects?table=jobs")).json()["rows"]
    reply = await some.post(f"/rejects/{first['id']}/correction", json={"job": "Cook"})
    await some.post(f"/rejects/{second['id']}/dismissal", json={"reason": "a <test>"})
    text = await shown(some, "?state=corrected")
    assert listed(text) == ["row 2"]
    assert f'href="/console/tables/jobs/{reply.json()["id"]}"' in text
    text = await shown(some, "?state=dismissed")
    assert listed(text) == ["row 3"]
    assert "Dismissed by admin" in text
    assert "a <test>" in text
    assert len(listed(await shown(some))) == 3


async def test_pages_follow_each_other(api: httpx.AsyncClient, database: Database) -> None:
    await api.post("/jobs", json=[{"job": ""}] * (PAGE + 1))
    text = await shown(api)
    assert len(listed(text)) == PAGE
    (older,) = re.findall(r'rel="next" href="/console/rejects(\?[^"]+)"', text)
    assert listed(await shown(api, older)) == ["row 1"]


async def test_a_page_looks_at_a_limited_number_of_rejects(
    api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "LOOKED_AT", 4)
    await api.post("/jobs", json=[{"job": ""}, *([{}] * 9)])
    text = await shown(api, "?code=blank")
    assert "and none of them matches." in text
    pages = 1
    while not listed(text):
        (older,) = re.findall(r'href="/console/rejects(\?[^"]*before=\d+)">Look further', text)
        text = await shown(api, older)
        pages += 1
    assert (listed(text), pages) == (["row 1"], 3)


async def test_the_count_is_bounded(
    some: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_of_rejects, "COUNTED", 3)
    assert chips(await shown(some))["all"] == "3+"


async def test_a_reader_sees_no_forms(several: Settings, some: httpx.AsyncClient) -> None:
    async with calling(several) as client:
        client.auth = httpx.BasicAuth("reader", "reader")
        text = await shown(client)
        rule = await client.post("/rejects/corrections?dry_run=true", json={})
        assert rule.status_code == 403
    assert len(listed(text)) == 5
    for form in ("data-open", "<template data-form", "data-reject"):
        assert form in await shown(some)
        assert form not in text


async def test_a_record_of_a_file_with_another_order_shows_its_own_fields(
    api: httpx.AsyncClient, database: Database, tmp_path: Path
) -> None:
    await add_parents(database, range(1, 4))
    folder = Folder(tmp_path)
    moment = "2021-01-01T00:00:00Z"
    lines = ["job_id;id;department_id;name;datetime", f"3;7;2;;{moment}"]
    folder.write(hired_employees=lines)
    file = str(folder.path / "hired_employees.csv")
    await load(database, folder.options(files=(file,), delimiter=";"))
    text = await shown(api)
    values = re.findall(r'id="field-\w+" name="(\w+)" type="text" value="([^"]*)"', text)
    assert dict(values) == {
        "id": "7",
        "name": "",
        "datetime": moment,
        "department_id": "2",
        "job_id": "3",
    }
