"""From empty tables to a report in a real browser: load, find, correct, take out, delete."""

from __future__ import annotations

import csv
import io
import re
from datetime import datetime

import pytest
from playwright.async_api import Page, expect

from service.core.database.transactions import Database
from tests.conftest import USER
from tests.support import browser as browsers
from tests.support.browser import dropped
from tests.support.hires import count, names

pytestmark = pytest.mark.skipif(browsers.chromium() is None, reason="no Chromium was found")
FILES = {
    "hired_employees.csv": """\
id,name,datetime,department_id,job_id
1,Ana Ruiz,2021-01-05T10:00:00Z,1,1
2,,2021-05-05T10:00:00Z,2,1
3,Cem Öz,2021-02-30T10:00:00Z,1,1
4,Dan Li,2021-08-05T10:00:00Z,99,1
5,"Eva, <img src=x onerror=alert(1)>",2021-11-05T10:00:00Z,1,2
6,Ana Silva,2021-05-06T10:00:00Z,2,2
""",
    "jobs.csv": "1,Clerk\n2,Cook\n",
    "departments.csv": "1,Sales\n2,Legal\n",
}
CORRECTIONS = {
    4: ("combobox", "department id", "2"),
    3: ("textbox", "datetime", "2021-02-28T10:00:00Z"),
    2: ("textbox", "name", "Ben Ode"),
}
"""The field that is wrong in each bad row by id, the newest reject first, and its right value."""


async def test_from_empty_tables_to_a_report(page: Page, database: Database) -> None:
    await _start(page)
    await _load(page, database)
    await _find(page, "Ana", "Legal", "Ana Silva")
    await _correct(page, database)
    await _find(page, "Ben", "Legal", "Ben Ode")
    exported = await _take_out(page)
    assert exported == await _stored(database)
    await _delete(page, database)
    assert await _take_out(page) == [row for row in exported if row[0] != "6"]
    await _report(page, database)
    await _look_at_the_overview(page)


async def _start(page: Page) -> None:
    await page.goto("/")
    await expect(page.get_by_text("The tables are empty.")).to_be_visible()
    await page.get_by_role("link", name="Load files").first.click()
    await expect(page.get_by_role("heading", name="Load", exact=True)).to_be_visible()


async def _load(page: Page, database: Database) -> None:
    await dropped(page, FILES)
    await page.get_by_role("button", name="Check the files").click()
    await expect(page.get_by_text("This is a preview.")).to_be_visible(timeout=30_000)
    assert await count(database, "departments") == 0
    await page.get_by_role("button", name="Load the good rows").click()
    await expect(page.get_by_text("Done.")).to_be_visible(timeout=60_000)
    assert set(await names(database)) == {1, 5, 6}


async def _find(page: Page, name: str, department: str, found: str) -> None:
    await page.get_by_role("link", name="Tables").click()
    await page.get_by_role("link", name="employees", exact=True).click()
    await page.get_by_label("Name", exact=True).fill(name)
    await page.get_by_label("Department", exact=True).fill(department)
    await page.get_by_role("button", name="Search").click()
    await expect(page.locator("tbody td:nth-child(2)")).to_have_text([found])
    await expect(page.locator("tbody td:nth-child(4)")).to_have_text([department])


async def _correct(page: Page, database: Database) -> None:
    await page.get_by_role("link", name="Rejects").click()
    await expect(page.locator("tr[data-reject]")).to_have_count(len(CORRECTIONS))
    await page.get_by_role("button", name=re.compile("^Correct ")).first.click()
    for key, (role, label, value) in CORRECTIONS.items():
        assert key not in await names(database)
        field = page.get_by_role(role, name=label, exact=True)  # type: ignore[arg-type]
        await expect(field).to_be_focused()
        await field.fill(value)
        await field.press("Enter")
        await expect(page.get_by_text(f"Inserted as employees {key}.")).to_be_visible()
    await expect(page.get_by_text("No row waits for a correction")).to_be_visible()
    assert set(await names(database)) == {1, 2, 3, 4, 5, 6}
    states = await database.fetch("SELECT state, closed_by, row_id FROM reject_outcomes")
    assert sorted(states) == [("corrected", USER, key) for key in (2, 3, 4)]


async def _take_out(page: Page) -> list[list[str]]:
    """The rows of the file of the whole table, without the names of parents."""
    await page.goto("/console/tables/employees")
    async with page.expect_download() as download:
        await page.get_by_role("link", name="CSV", exact=True).click()
    text = (await (await download.value).path()).read_text("utf-8")
    _, *rows = csv.reader(io.StringIO(text), strict=True)
    return [row[:5] for row in rows]


async def _stored(database: Database) -> list[list[str]]:
    columns = "id, name, `datetime`, department_id, job_id"
    rows = await database.fetch(f"SELECT {columns} FROM hired_employees ORDER BY id")
    return [[str(key), name, f"{when}Z", *map(str, rest)] for key, name, when, *rest in rows]


async def _delete(page: Page, database: Database) -> None:
    await page.get_by_role("link", name="6", exact=True).click()
    await page.get_by_role("button", name="Delete the row").click()
    await page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    await expect(page.get_by_text(f"{USER} deleted this row")).to_be_visible()
    assert set(await names(database)) == {1, 2, 3, 4, 5}


async def _report(page: Page, database: Database) -> None:
    await page.get_by_role("link", name="Reports").click()
    rows = page.get_by_role("region", name="Hires by department", exact=True).locator("tbody tr")
    await expect(rows).to_have_count(2)  # the page is there
    shown = [" ".join(text.split()) for text in await rows.all_inner_texts()]
    expected = {1: [0] * 4, 2: [0] * 4}
    for _, _, when, department, _ in await _stored(database):
        expected[int(department)][(datetime.fromisoformat(when).month - 1) // 3] += 1
    assert shown == [
        " ".join(map(str, (name, *expected[key], sum(expected[key]))))
        for key, name in ((2, "Legal"), (1, "Sales"))
    ]
    assert sum(map(sum, expected.values())) == 5


async def _look_at_the_overview(page: Page) -> None:
    await page.get_by_role("link", name="Overview").click()
    cards = page.get_by_role("region", name="Rows").get_by_role("link")
    await expect(cards).to_have_text(["2 departments", "2 jobs", "5 employees", "0 open rejects"])
