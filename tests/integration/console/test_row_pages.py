"""The page of a row: its fields, who refers to it, its corrections, and what a role may do."""

from __future__ import annotations

import html
import re

import httpx
import pytest

from service.core.database.transactions import Database
from service.core.reads import paths
from service.core.settings import Settings
from service.web.console.pages import row
from tests.conftest import USER, calling
from tests.support.console import HTML
from tests.support.hires import add_parents, hire

Client = httpx.AsyncClient


PAGE = "/console/tables/employees"


@pytest.fixture(autouse=True)
async def _parents(database: Database) -> None:
    await add_parents(database, range(1, 4))


@pytest.fixture
async def hired(api: Client) -> int:
    (key,) = (await api.post("/employees", json=hire(name="Ana <b>", job_id=2))).json()["ids"]
    return int(key)


async def text(client: Client, address: str, status: int = 200) -> str:
    """A page as text: without tags, each run of spaces as one."""
    reply = await client.get(f"/console/tables/{address}", headers=HTML)
    assert reply.status_code == status, reply.text
    content = re.sub(r"(?s)<(svg|script|head)\b.*?</\1>", "", reply.text)
    return " ".join(html.unescape(re.sub("<[^>]*>", " ", content)).split())


async def test_a_row_is_shown_with_the_names_of_its_parents(api: Client, hired: int) -> None:
    found = await text(api, f"employees/{hired}")
    assert f"Employees {hired}" in found
    assert "name Ana <b> datetime 2021-07-27 16:02:08 department departments 1 job jobs 2" in found
    source = (await api.get(f"/console/tables/employees/{hired}", headers=HTML)).text
    assert '<a href="/console/tables/jobs/2">jobs 2</a>' in source
    assert "<b>" not in source


async def test_a_name_finds_those_that_have_it_and_a_beginning_all(
    api: Client, database: Database
) -> None:
    """Of departments 1 to 12, the first has a name with which those of 10 to 12 begin."""
    await add_parents(database, range(4, 13))
    rows = [hire(department_id=key) for key in range(1, 13)]
    ids = (await api.post("/employees", json=rows)).json()["ids"]
    for query, found in [
        ({"department": "departments 1"}, ids[:1]),
        ({"department": "departments 12"}, ids[11:]),
        ({"department": "departments"}, ids),
        ({"job": "j"}, ids),
    ]:
        page = await api.get(PAGE, params=query, headers=HTML)
        assert [int(key) for key in re.findall(r">(\d+)</a></td>", page.text)] == found


async def test_the_rows_that_refer_to_a_row_are_counted(
    api: Client, hired: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    await api.post("/employees", json=[hire(job_id=2), hire(job_id=3), hire(job_id=2)])
    assert "3 employees by job" in await text(api, "jobs/2")
    assert "0 employees by job" in await text(api, "jobs/1")
    assert "4 employees by department" in await text(api, "departments/1")
    monkeypatch.setattr(paths, "SCAN", 2)
    assert "at least 2 employees by job" in await text(api, "jobs/2")
    source = (await api.get("/console/tables/jobs/2", headers=HTML)).text
    (link,) = re.findall(r'href="(/console/tables/employees\?[^"]*)"', source)
    assert link == "/console/tables/employees?job_id=2"
    assert "Job id" in await text(api, link.removeprefix("/console/tables/"))


async def test_corrections_show_old_and_new_values(api: Client, hired: int) -> None:
    assert "No corrections yet." in await text(api, f"employees/{hired}")
    await api.patch(f"/employees/{hired}", json={"name": "Ada", "department_id": 3})
    await api.patch(f"/employees/{hired}", json={"datetime": "2020-01-01T00:00:00Z"})
    found = await text(api, f"employees/{hired}")
    newest = found.index("datetime: 2021-07-27 16:02:08 → 2020-01-01 00:00:00")
    assert newest < found.index("name: Ana <b> → Ada department: departments 1 → departments 3")
    assert len(re.findall(rf"\d\d:\d\d:\d\d {USER} ", found)) == 2


async def test_a_deleted_row_keeps_its_page(api: Client, hired: int) -> None:
    await api.delete(f"/employees/{hired}")
    found = await text(api, f"employees/{hired}")
    assert f"{USER} deleted this row on 20" in found
    assert "Deleted name: Ana <b> datetime: 2021-07-27 16:02:08" in found
    assert "Save" not in found
    assert "no row" in await text(api, "employees/2147483647", 404)
    assert "no row" in await text(api, "employees/2147483648", 404)


async def test_a_row_that_a_restore_removed_keeps_its_page(
    api: Client, database: Database, hired: int
) -> None:
    await api.patch(f"/employees/{hired}", json={"name": "Ada"})
    async with database.transaction() as transaction:
        await transaction.execute("DELETE FROM hired_employees")
    found = await text(api, f"employees/{hired}")
    assert "This row does not exist any more." in found
    assert "name: Ana <b> → Ada" in found


async def test_a_long_history_has_pages(
    api: Client, hired: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row, "CHANGES", 2)
    for number in range(4):
        await api.patch(f"/employees/{hired}", json={"name": f"N{number}"})
    first = await text(api, f"employees/{hired}")
    assert ("N2 → N3" in first, "N1 → N2" in first, "N0 → N1" in first) == (True, True, False)
    source = (await api.get(f"/console/tables/employees/{hired}", headers=HTML)).text
    (older,) = re.findall(r'href="(\?before=\d+)"', source)
    second = await text(api, f"employees/{hired}{older}")
    assert ("N1 → N2" in second, "N0 → N1" in second, "Ana <b> → N0" in second) == (
        False,
        True,
        True,
    )
    assert "Older" not in second
    assert "Newest" in second
    # The form needs the newest change: a conflict shows those after it.
    assert ("Correct it" in first, "Correct it" in second) == (True, False)


async def test_a_row_names_the_reject_that_it_was(api: Client) -> None:
    await api.post("/employees", json=hire(name=" "))
    (reject,) = (await api.get("/rejects")).json()["rows"]
    reply = await api.post(f"/rejects/{reject['id']}/correction", json=hire(name="Ada"))
    key = reply.json()["id"]
    assert f"correction of reject {reject['id']}" in await text(api, f"employees/{key}")
    (other,) = (await api.post("/employees", json=hire())).json()["ids"]
    assert "reject" not in (await text(api, f"employees/{other}")).replace("Rejects", "")


async def test_only_a_writer_sees_the_form(several: Settings, hired: int) -> None:
    async with calling(several) as client:
        client.auth = httpx.BasicAuth("reader", "reader")
        assert "Save" not in await text(client, f"employees/{hired}")
        client.auth = httpx.BasicAuth("reader-writer", "reader-writer")
        assert "Delete the row" in await text(client, f"employees/{hired}")
