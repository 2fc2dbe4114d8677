"""Loads of several files in a real browser: chosen together, recognised, ordered, loaded once."""

from __future__ import annotations

import re
from contextlib import suppress

import pytest
from playwright.async_api import FilePayload, Locator, Page, Route, expect

from service.core.database.transactions import Database
from tests.support import browser as browsers
from tests.support.browser import HIRES_CSV, Seen, checked, dropped
from tests.support.hires import count

pytestmark = pytest.mark.skipif(browsers.chromium() is None, reason="no Chromium was found")
PARENTS = "1,One\n2,Two\n3,Three\n"
FILES = {
    "hired_employees.csv": HIRES_CSV,
    "jobs.csv": f"id,job\n{PARENTS}",
    "april.csv": f"id,department\n{PARENTS}",
}


class Rollback(Exception):
    """Rolls a transaction back."""


def items(page: Page) -> Locator:
    """The files that are chosen."""
    return page.locator("#files > li")


async def test_files_dropped_together_are_detected_ordered_and_loaded(
    page: Page, database: Database
) -> None:
    await dropped(page, FILES)
    assert await items(page).locator(".why").all_inner_texts() == [
        "april.csv → departments, because of its header.",
        "jobs.csv → jobs, because of its name and its header.",
        "hired_employees.csv → employees, because of its name and its header.",
    ]
    await page.get_by_role("button", name="Check the files").click()
    await expect(page.get_by_text("This is a preview.")).to_be_visible()
    result = page.get_by_role("region", name="Result")
    await expect(result.get_by_role("row", name="hired_employees.csv")).to_contain_text("633")
    assert await count(database, "hired_employees") == 0

    await page.get_by_role("button", name="Load the good rows").click()
    await expect(page.get_by_text("Done.")).to_be_visible(timeout=60_000)
    assert await count(database, "departments") == await count(database, "jobs") == 3
    assert await count(database, "hired_employees") == 3
    await result.get_by_role("link", name="See and correct them").click()
    await expect(page.get_by_text("department_id 99 is not in")).to_be_visible()


async def test_a_user_says_which_table_a_file_is_for_and_removes_another(
    page: Page, database: Database
) -> None:
    await dropped(page, {"a.csv": "1,Clerk\n", "jobs.csv": "2,Baker\n", "b.csv": "x"})
    unknown = items(page).filter(has_text="a.csv")
    await expect(unknown).to_contain_text("Neither its name nor its header")
    await page.get_by_role("button", name="Remove b.csv").click()
    await page.get_by_role("button", name="Check the files").click()
    # The browser asks for the table first.
    await expect(unknown.get_by_label("Table")).to_be_focused()
    assert page.url.endswith("/console/load")
    await unknown.get_by_label("Table").select_option("departments")
    await expect(items(page).first).to_contain_text("Into departments, as you chose.")
    await page.get_by_role("button", name="Check the files").click()
    await expect(page.get_by_text("This is a preview.")).to_be_visible()
    await page.get_by_role("button", name="Load the good rows").click()
    await expect(page.get_by_text("Done.")).to_be_visible(timeout=60_000)
    assert await database.fetch("SELECT department FROM departments") == [("Clerk",)]
    assert await database.fetch("SELECT job FROM jobs") == [("Baker",)]


async def test_a_file_that_cannot_be_loaded_ends_the_set_and_is_named(
    page: Page, database: Database
) -> None:
    await dropped(page, {"departments.csv": PARENTS, "jobs.csv": "id,nonsense\n1,a\n"})
    await page.get_by_role("button", name="Check the files").click()
    alert = page.get_by_role("alert").filter(has_text="header of the file for jobs")
    await expect(alert).to_be_visible()
    assert await count(database, "departments") == 0


async def test_files_are_chosen_by_keyboard(page: Page, database: Database) -> None:
    await page.goto("/console/load")
    choosing = page.locator("#file")
    async with page.expect_file_chooser() as chooser:
        await choosing.press("Space")
    files: list[FilePayload] = [
        {"name": "jobs.csv", "mimeType": "text/csv", "buffer": content}
        for content in (b"1,Clerk\n", b"2,Baker\n")
    ]
    await (await chooser.value).set_files(files)
    check = page.get_by_role("button", name="Check the files")
    await expect(check).to_be_enabled()
    await check.press("Enter")
    await expect(page.get_by_text("This is a preview.")).to_be_visible()
    confirm = page.get_by_role("button", name="Load the good rows")
    await expect(confirm).to_be_enabled()
    await confirm.press("Enter")
    await expect(page.get_by_text("Done.")).to_be_visible(timeout=60_000)
    assert await count(database, "jobs") == 2


async def test_more_files_than_a_load_takes_are_refused_at_once(page: Page, seen: Seen) -> None:
    await dropped(page, {f"jobs-{number}.csv": "id,job\n" for number in range(31)})
    await expect(items(page)).to_have_count(30)
    await expect(page.get_by_role("alert")).to_contain_text("at most 30 files")


async def test_the_progress_of_each_file_is_on_the_page_of_the_job(
    page: Page, database: Database
) -> None:
    rows = "".join(f"{number},Clerk\n" for number in range(1, 60_001))
    await checked(page, {"departments.csv": PARENTS, "jobs.csv": rows})
    row = page.get_by_role("row", name=re.compile("^jobs.csv"))
    with suppress(Rollback):
        async with database.transaction(60) as blocking:
            # The load waits here, near its end.
            await blocking.execute("INSERT INTO jobs (id, job) VALUES (60000, 'Mine')")
            await page.get_by_role("button", name="Load the good rows").click()
            await expect(row.locator("[data-name=state]")).to_have_text("running", timeout=60_000)
            await expect(row.locator("[data-name=read]")).not_to_have_text("0", timeout=60_000)
            raise Rollback
    await expect(page.get_by_text("Done.")).to_be_visible(timeout=60_000)
    assert await count(database, "jobs") == 60_000


async def test_a_file_that_is_removed_stops_its_upload(page: Page) -> None:
    held: list[Route] = []

    async def hold(route: Route) -> None:
        held.append(route)

    await page.route("**/console/uploads/**", hold, times=1)
    await page.goto("/console/load")
    files = [payload(f"{name}.csv", PARENTS.encode()) for name in ("jobs", "departments")]
    async with page.expect_request("**/console/uploads/**"):
        await page.locator("#file").set_input_files(files)
    await page.get_by_role("button", name="Remove jobs.csv").click()
    await expect(items(page)).to_contain_text(["departments.csv → departments"])
    await expect(page.get_by_role("button", name="Check the files")).to_be_enabled()
    assert len(held) == 1


async def test_a_file_that_is_chosen_before_the_script_runs_is_uploaded(page: Page) -> None:
    held: list[Route] = []

    async def hold(route: Route) -> None:
        held.append(route)

    await page.route("**/static/load.js", hold)
    await page.goto("/console/load", wait_until="commit")
    await page.locator("#file").set_input_files([payload("jobs.csv", b"id,job\n1,Clerk\n")])
    await held[0].continue_()
    await expect(items(page)).to_contain_text(["jobs.csv → jobs"])


def payload(name: str, content: bytes) -> FilePayload:
    return {"name": name, "mimeType": "text/csv", "buffer": content}
