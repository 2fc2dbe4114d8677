"""The tables of the console in a real browser: find, sort, take out, correct and delete."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest
from playwright.async_api import Browser, Page, Route, expect

from service.core.database.transactions import Database
from service.core.tables import TABLES
from tests.conftest import PASSWORD, USER
from tests.support import browser as browsers
from tests.support.browser import Seen
from tests.support.hires import add_parents, count, names
from tests.support.program import Service

pytestmark = pytest.mark.skipif(browsers.chromium() is None, reason="no Chromium was found")
EMPLOYEES = "/console/tables/employees"
HIRES = [
    (1, "Ana Ruiz", "2021-01-05T10:00:00", 1, 1),
    (2, "Ana Silva", "2021-02-05T10:00:00", 2, 1),
    (3, "Bo =1+1", "2021-03-05T10:00:00", 2, 2),
    (4, "Anton Weiß", "2021-04-05T10:00:00", 2, 3),
]


@pytest.fixture(autouse=True)
async def _hires(database: Database) -> None:
    """Departments and jobs 1 to 3; four hires, none of them in department 3."""
    await add_parents(database, range(1, 4))
    async with database.transaction() as transaction:
        await transaction.insert(TABLES[-1].sql["insert_with_id"], HIRES)


def names_in(page: Page) -> Any:
    return page.locator("tbody td:nth-child(2)")


async def test_a_person_is_found_by_name_and_department(page: Page) -> None:
    await page.goto(EMPLOYEES)
    await page.get_by_label("Name", exact=True).fill("An")
    await page.get_by_label("Department", exact=True).fill("departments 2")
    await page.get_by_role("button", name="Search").click()
    await expect(names_in(page)).to_have_text(["Ana Silva", "Anton Weiß"])
    assert page.url.endswith("?name=An&department=departments+2")
    await expect(page.get_by_text("2 rows")).to_be_visible()
    await page.get_by_label("hired from").fill("2021-04-01")
    await page.keyboard.press("Enter")
    await expect(names_in(page)).to_have_text(["Anton Weiß"])
    await page.get_by_role("link", name="4", exact=True).click()
    await expect(page.get_by_role("heading", name="Employees 4")).to_be_visible()
    await page.get_by_role("link", name="departments 2").first.click()
    await page.get_by_role("link", name="3 employees").click()
    await expect(names_in(page)).to_have_text(["Ana Silva", "Bo =1+1", "Anton Weiß"])


async def test_departments_are_suggested_while_one_types(page: Page, database: Database) -> None:
    await page.goto(EMPLOYEES)
    field = page.get_by_label("department")
    suggested = page.locator("#list-department option")
    await field.focus()
    await expect(suggested).to_have_count(3)
    await field.press_sequentially("DEPARTMENTS 2")
    await expect(suggested).to_have_count(1)
    assert await suggested.first.get_attribute("value") == "departments 2"
    async with database.transaction() as transaction:
        await transaction.execute("UPDATE departments SET department = 'Human Care' WHERE id = 3")
    await field.fill("hUMAN cARE")
    await expect(suggested).to_have_count(1)
    await expect(suggested.first).to_have_attribute("value", "Human Care")
    await field.fill("DEPARTMENTS 2")
    await page.keyboard.press("Enter")
    await expect(page.get_by_text("No department begins with this.")).to_be_visible()
    await expect(field).to_have_attribute("aria-invalid", "true")


async def test_heads_sort_by_mouse_and_by_keyboard(page: Page) -> None:
    await page.goto(EMPLOYEES)
    head = page.get_by_role("columnheader", name="name")
    await head.get_by_role("link").click()
    await expect(head).to_have_attribute("aria-sort", "ascending")
    ordered = ["Ana Ruiz", "Ana Silva", "Anton Weiß", "Bo =1+1"]
    await expect(names_in(page)).to_have_text(ordered)
    await head.get_by_role("link").focus()
    await page.keyboard.press("Enter")
    await expect(head).to_have_attribute("aria-sort", "descending")
    await expect(names_in(page)).to_have_text(ordered[::-1])


async def test_what_is_shown_is_exported(page: Page) -> None:
    await page.goto(f"{EMPLOYEES}?department=departments+2&order=-name")
    async with page.expect_download() as download:
        await page.get_by_role("link", name="CSV").click()
    file = await download.value
    assert file.suggested_filename == "hired_employees.csv"
    lines = (await file.path()).read_text("utf-8").splitlines()
    assert lines[0] == "id,name,datetime,department_id,job_id,department,job"
    assert [line.split(",")[1] for line in lines[1:]] == [
        '"Bo =1+1"',
        '"Anton Weiß"',
        '"Ana Silva"',
    ]
    async with page.expect_download() as download:
        await page.get_by_role("link", name="NDJSON").click()
    text = (await (await download.value).path()).read_text("utf-8")
    assert re.findall(r'"id":(\d)', text) == ["3", "4", "2"]


async def test_a_row_is_corrected_after_an_error(
    page: Page, database: Database, seen: Seen
) -> None:
    await page.goto(f"{EMPLOYEES}/1")
    form = page.locator("#edit")
    await form.get_by_label("name").fill(" ")
    await form.get_by_label("job").fill("9")
    await form.get_by_role("button", name="Save").click()
    await expect(form.get_by_text("name must not be blank")).to_be_visible()
    await expect(form.get_by_text("job_id 9 is not in jobs")).to_be_visible()
    await expect(form.get_by_label("name")).to_be_focused()
    assert "422" in seen.errors.pop()
    await form.get_by_label("name").fill("Ana Ruiz-Gómez")
    await form.get_by_label("job").fill("jobs 2")
    await form.get_by_label("job").blur()
    await expect(form.get_by_label("job")).to_have_value("2")
    await expect(form.locator("small", has_text="jobs 2")).to_be_visible()
    await form.get_by_role("button", name="Save").click()
    await expect(page.get_by_text("The row was corrected.")).to_be_visible()
    assert (await names(database))[1] == "Ana Ruiz-Gómez"
    corrections = page.get_by_role("region", name="Corrections")
    await expect(corrections).to_contain_text("name: Ana Ruiz → Ana Ruiz-Gómez")
    await expect(corrections).to_contain_text("job: jobs 1 → jobs 2")
    await expect(corrections).to_contain_text(USER)


async def test_a_change_of_somebody_else_is_not_overwritten(
    page: Page, service: Service, database: Database, seen: Seen
) -> None:
    await page.goto(f"{EMPLOYEES}/2")
    async with service.client(USER, PASSWORD) as client:
        reply = await client.patch("/employees/2", json={"name": "Ana Souza"})
        assert reply.status_code == 200
    await page.locator("#edit").get_by_label("name").fill("Ana Sousa")
    await page.get_by_role("button", name="Save").click()
    conflict = page.locator("#conflict")
    await expect(conflict).to_contain_text(f"{USER} changed name from Ana Silva to Ana Souza")
    assert (await names(database))[2] == "Ana Souza"
    assert "412" in seen.errors.pop()
    await conflict.get_by_role("button", name="Reload").click()
    await expect(page.locator("#edit").get_by_label("name")).to_have_value("Ana Souza")


async def test_a_history_that_does_not_answer_blames_nobody(
    page: Page, service: Service, seen: Seen
) -> None:
    await page.goto(f"{EMPLOYEES}/2")
    async with service.client(USER, PASSWORD) as client:
        await client.patch("/employees/2", json={"name": "Ana Souza"})
    await page.route("**/changes?after=*", lambda route: route.fulfill(status=503, json={}))
    await page.locator("#edit").get_by_label("name").fill("Ana Sousa")
    await page.get_by_role("button", name="Save").click()
    conflict = page.locator("#conflict p")
    await expect(conflict).to_have_text(
        "The row has changed since you opened it. Nothing was saved."
    )
    assert ["503" in seen.errors.pop(), "412" in seen.errors.pop()] == [True, True]


async def test_a_row_that_a_load_removed_says_so(
    page: Page, database: Database, seen: Seen
) -> None:
    await page.goto(f"{EMPLOYEES}/2")
    async with database.transaction() as transaction:
        await transaction.execute("DELETE FROM hired_employees WHERE id = 2")
    await page.locator("#edit").get_by_label("name").fill("Ana Sousa")
    await page.get_by_role("button", name="Save").click()
    await expect(page.locator("#conflict")).to_contain_text("A load or a restore did it.")
    assert ["404" in seen.errors.pop(), "404" in seen.errors.pop()] == [True, True]


async def test_every_name_becomes_a_number_before_the_row_is_saved(
    page: Page, database: Database
) -> None:
    await page.goto(f"{EMPLOYEES}/1")
    await page.route("**/departments?*", _late)
    form = page.locator("#edit")
    await form.get_by_label("department").fill("departments 3")
    await form.get_by_label("job").fill("jobs 2")
    await form.get_by_label("job").press("Enter")
    await expect(page.get_by_text("The row was corrected.")).to_be_visible()
    rows = await database.fetch("SELECT department_id, job_id FROM hired_employees WHERE id = 1")
    assert rows == [(3, 2)]


async def test_an_answer_about_an_older_name_changes_nothing(page: Page, seen: Seen) -> None:
    await page.goto(f"{EMPLOYEES}/1")
    await page.route("**/departments?*", _late)
    department = page.locator("#edit").get_by_label("department")
    await department.fill("departments 3")
    await department.blur()
    await department.fill("2")
    await page.wait_for_timeout(1500)  # until the late answers are there
    await expect(department).to_have_value("2")
    await department.fill("")
    await department.blur()
    await page.wait_for_timeout(100)
    assert not [url for url in seen.requests if url.endswith("id=")]


async def _late(route: Route) -> None:
    await asyncio.sleep(0.4)
    await route.continue_()


async def test_one_of_two_values_of_a_filter_is_cleared(page: Page) -> None:
    await page.goto(f"{EMPLOYEES}?department_id=1&department_id=2")
    await page.get_by_label("department id").first.fill("")
    await page.get_by_role("button", name="Search").click()
    await expect(names_in(page)).to_have_text(["Ana Silva", "Bo =1+1", "Anton Weiß"])
    assert page.url.endswith("?department_id=2")


async def test_a_job_that_is_referred_to_is_kept(
    page: Page, database: Database, seen: Seen
) -> None:
    await page.goto("/console/tables/jobs/1")
    await _delete(page)
    await expect(page.get_by_role("alert").filter(has_text="2 rows of employees")).to_be_visible()
    assert await count(database, "jobs") == 3
    assert "409" in seen.errors.pop()


async def test_a_row_is_deleted_and_keeps_its_history(page: Page, database: Database) -> None:
    await page.goto(f"{EMPLOYEES}/3")
    await page.get_by_role("button", name="Delete the row").click()
    await page.get_by_role("button", name="Cancel").click()
    await expect(page.get_by_role("dialog")).to_be_hidden()
    assert 3 in await names(database)
    await _delete(page)
    await expect(page.get_by_text(f"{USER} deleted this row")).to_be_visible()
    assert 3 not in await names(database)
    await expect(page.get_by_role("region", name="Corrections")).to_contain_text("Bo =1+1")
    await page.get_by_role("link", name="All employees").click()
    await expect(names_in(page)).to_have_text(["Ana Ruiz", "Ana Silva", "Anton Weiß"])


async def _delete(page: Page) -> None:
    await page.get_by_role("button", name="Delete the row").press("Enter")
    question = page.get_by_role("dialog")
    await expect(question).to_contain_text("Delete this row?")
    await question.get_by_role("button", name="Delete").press("Enter")


async def test_without_scripts_the_page_searches_and_sorts(
    browser: Browser, service: Service, seen: Seen
) -> None:
    address = f"http://127.0.0.1:{service.port}"
    options: dict[str, Any] = {"java_script_enabled": False}
    async with browsers.opened(browser, address, USER, PASSWORD, seen, **options) as page:
        await page.goto(EMPLOYEES)
        await page.get_by_label("Department", exact=True).fill("departments 2")
        await page.get_by_role("button", name="Search").click()
        await page.get_by_role("link", name="name").click()
        await expect(names_in(page)).to_have_text(["Ana Silva", "Anton Weiß", "Bo =1+1"])
        await page.goto(f"{EMPLOYEES}/1")
        await expect(page.get_by_role("heading", name="Employees 1")).to_be_visible()
        await expect(page.get_by_role("button", name="Save")).to_be_hidden()
