"""Rejects on the console: corrected in place, by one rule, or dismissed."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.async_api import Locator, Page, Route, expect

from loader.loading.pipeline import load
from service.core.database.transactions import Database
from tests.support import browser as browsers
from tests.support.browser import Seen, checked
from tests.support.csv_files import Folder, hire, names

pytestmark = pytest.mark.skipif(browsers.chromium() is None, reason="no Chromium was found")

DIRTY = [
    hire(1),
    "2,,2021-05-05T10:00:00Z,1,1",
    hire(3, department=99),
    "4,Cem,2021-02-30T10:00:00Z,1,1",
    *(hire(at, department="two") for at in range(5, 9)),
    "9,too,few",
]


@pytest.fixture
async def dirty(database: Database, tmp_path: Path) -> Database:
    """Eight rejects of a file: four of them have the same fault."""
    folder = Folder(tmp_path)
    folder.write(hired_employees=DIRTY)
    await load(database, folder.options())
    return database


async def rest(page: Page) -> int:
    return await page.locator("tr[data-reject]").count()


async def states(database: Database) -> list[str]:
    rows = await database.fetch(
        "SELECT COALESCE(state, 'open') FROM rejects LEFT JOIN reject_outcomes ON reject_id = id "
        "ORDER BY position"
    )
    return [state for (state,) in rows]


async def test_rejects_are_corrected_below_their_row_by_a_rule_and_dismissed(
    page: Page, dirty: Database, seen: Seen
) -> None:
    await page.goto("/console/rejects")
    codes = page.get_by_role("navigation", name="Codes")
    await expect(codes.get_by_role("link", name="all")).to_contain_text("8")
    await expect(codes.get_by_role("link", name="type")).to_contain_text("4")
    await _correct_three(page, seen)
    assert set(await names(dirty)) == {1, 2, 3, 4}
    await _correct_the_rest_by_one_rule(page)
    assert set(await names(dirty)) == set(range(1, 9))
    await _dismiss_the_last(page)
    assert await states(dirty) == ["corrected"] * 7 + ["dismissed"]
    await page.get_by_role("link", name="Corrected").click()
    await expect(page.get_by_role("region", name="Rejects")).to_contain_text("Corrected by admin")
    await page.get_by_role("link", name="employees 2", exact=True).click()
    await expect(page.get_by_role("heading", name="Employees 2")).to_be_visible()


async def _correct_three(page: Page, seen: Seen) -> None:
    await page.get_by_role("button", name="Correct hired_employees.csv, line 4").click()
    moment = page.get_by_role("textbox", name="datetime")
    await expect(moment).to_be_focused()
    await expect(moment).to_have_value("2021-02-30T10:00:00Z")
    await moment.fill("2021-02-31T10:00:00Z")
    await page.get_by_role("button", name="Insert").click()
    await expect(moment).to_be_focused()
    await expect(page.get_by_role("form")).to_contain_text("datetime is no real date and time")
    assert "422" in seen.errors.pop()
    await moment.fill("2021-02-28T10:00:00Z")
    await moment.press("Enter")
    await expect(page.get_by_text("Inserted as employees 4.")).to_be_visible()
    # The next reject is open, with the field that is wrong.
    department = page.get_by_role("combobox", name="department id")
    await expect(department).to_be_focused()
    await expect(department).to_have_value("99")
    await department.fill("1")
    await department.press("Enter")
    name = page.get_by_role("textbox", name="name", exact=True)
    await expect(name).to_be_focused()
    await name.fill("Ben")
    await name.press("Enter")
    await expect(page.get_by_text("Inserted as employees 2.")).to_be_visible()
    await expect(page.locator(".editor")).to_have_count(0)
    assert await rest(page) == 5


async def _correct_the_rest_by_one_rule(page: Page) -> None:
    await page.get_by_role("button", name="Correct hired_employees.csv, line 6").click()
    await page.get_by_role("combobox", name="department id").fill("2")
    offer = page.get_by_text("4 rejects of this file have the same value here.")
    await expect(offer).to_be_visible()
    await page.get_by_role("button", name="Correct all").click()
    await expect(page.get_by_text("4 rejects were corrected.")).to_be_visible()
    assert await rest(page) == 1


async def _dismiss_the_last(page: Page) -> None:
    await expect(page.get_by_role("region", name="Rejects")).to_contain_text("has 3 fields, not 5")
    await page.get_by_role("button", name="Dismiss").click()
    await page.get_by_role("textbox", name="Why is this row not inserted?").fill("a test")
    await page.keyboard.press("Enter")
    await expect(page.get_by_text("No row waits for a correction")).to_be_visible()


async def test_rejects_are_corrected_by_keyboard_alone(page: Page, dirty: Database) -> None:
    await page.goto("/console/rejects?code=not_found")
    correct = page.get_by_role("button", name="Correct hired_employees.csv, line 3")
    await correct.focus()
    await page.keyboard.press("Enter")
    department = page.get_by_role("combobox", name="department id")
    await expect(department).to_be_focused()
    await page.keyboard.press("Escape")
    await expect(correct).to_be_focused()
    await page.keyboard.press("Enter")
    await page.keyboard.press("ControlOrMeta+a")
    await page.keyboard.type("2")
    await page.keyboard.press("Enter")
    await expect(page.get_by_text("No open reject matches")).to_be_visible()
    assert (await names(dirty))[3] == "Ana 3"


async def test_a_parent_is_named_instead_of_its_id(page: Page, dirty: Database) -> None:
    await page.goto("/console/rejects?code=not_found")
    await page.get_by_role("button", name="Correct hired_employees.csv, line 3").click()
    department = page.get_by_role("combobox", name="department id")
    await department.fill("Legal")
    await department.press("Tab")
    await expect(department).to_have_value("2")
    await page.get_by_role("button", name="Insert").click()
    await expect(page.get_by_text("No open reject matches")).to_be_visible()
    rows = await dirty.fetch("SELECT department_id FROM hired_employees WHERE id = 3")
    assert rows == [(2,)]


async def test_a_record_without_fields_is_typed_anew(
    page: Page, dirty: Database, seen: Seen
) -> None:
    await page.goto("/console/rejects?code=malformed")
    await page.get_by_role("button", name="Correct hired_employees.csv, line 9").click()
    await expect(page.get_by_role("form").last).to_contain_text("has 3 fields, not 5")
    await expect(page.get_by_role("textbox", name="name", exact=True)).to_have_value("too")
    await page.get_by_role("textbox", name="datetime").fill("2021-01-01T00:00:00Z")
    for name in ("department id", "job id"):
        await page.get_by_role("combobox", name=name).fill("1")
    await page.keyboard.press("Enter")
    await expect(page.get_by_text("No open reject matches")).to_be_visible()
    assert (await names(dirty))[9] == "too"


async def test_broken_json_is_mended_as_text(page: Page, database: Database, seen: Seen) -> None:
    await checked(page, {"jobs.ndjson": '{"job": "Clerk"}\n{"job": "Cook"\n'})
    await page.get_by_role("button", name="Load the good rows").click()
    await expect(page.get_by_text("Done.")).to_be_visible(timeout=20_000)
    await page.goto("/console/rejects")
    await page.get_by_role("button", name="Correct console: jobs.ndjson, line 2").click()
    text = page.get_by_role("textbox", name="The record in JSON")
    await expect(text).to_have_value('{"job": "Cook"')
    await text.fill('{"job": "", "salary": 1}')
    await page.get_by_role("button", name="Insert").click()
    alert = page.get_by_role("form").get_by_role("alert")
    await expect(alert).to_have_text(
        "'salary' is not a field of this table, which has job. job must not be blank."
    )
    assert "422" in seen.errors.pop()
    await text.fill('{"job": "Cook"}')
    await page.get_by_role("button", name="Insert").click()
    await expect(page.get_by_text("No row waits for a correction")).to_be_visible()
    assert [job for (job,) in await database.fetch("SELECT job FROM jobs")] == ["Clerk", "Cook"]


RULES = "**/rejects/corrections?dry_run=true"
TYPED = """(input, text) => {
    input.value = text;
    input.dispatchEvent(new Event("input", { bubbles: true }));
    return input.form.querySelector(".rule").hidden;
}"""


async def test_a_rule_is_offered_only_for_the_value_that_is_there(
    page: Page, dirty: Database
) -> None:
    await page.goto("/console/rejects")
    await page.get_by_role("button", name="Correct hired_employees.csv, line 6").click()
    department = page.get_by_role("combobox", name="department id")
    all_of_them = page.get_by_role("button", name="Correct all")
    await department.fill("2")
    await expect(all_of_them).to_be_visible()
    # A click within the pause would correct all to the value of before.
    assert await department.evaluate(TYPED, "28")
    await _answered_late(page, department)
    await expect(all_of_them).to_be_hidden()


async def _answered_late(page: Page, department: Locator) -> None:
    """Type 2, then 28; the answer about 2 comes last."""
    held: list[Route] = []

    async def hold(route: Route) -> None:
        held.append(route)

    await page.route(RULES, hold, times=1)
    async with page.expect_request(RULES) as first:
        await department.evaluate(TYPED, "2")
    async with page.expect_response(RULES):
        await department.evaluate(TYPED, "28")
    await held[0].continue_()
    await (await (await first.value).response()).finished()  # type: ignore[union-attr]
    await page.evaluate("() => new Promise(requestAnimationFrame)")


async def test_leaving_a_field_asks_once_for_a_rule(
    page: Page, dirty: Database, seen: Seen
) -> None:
    await page.goto("/console/rejects")
    await page.get_by_role("button", name="Correct hired_employees.csv, line 6").click()
    department = page.get_by_role("combobox", name="department id")
    await department.evaluate(TYPED, "2")
    await department.dispatch_event("change")
    await expect(page.get_by_role("button", name="Correct all")).to_be_visible()
    await page.wait_for_timeout(600)  # longer than the pause
    assert len([url for url in seen.requests if "dry_run=true" in url]) == 1
