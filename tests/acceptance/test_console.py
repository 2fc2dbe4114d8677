"""The console in a real browser: the work of an operator."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import Page, expect

from service.core.database.transactions import Database
from tests.support import browser as browsers
from tests.support.browser import HIRES_CSV, Seen, checked
from tests.support.hires import add_parents, count, names

pytestmark = pytest.mark.skipif(browsers.chromium() is None, reason="no Chromium was found")


async def done(page: Page) -> None:
    await expect(page.get_by_role("status").filter(has_text="Done.")).to_be_visible(timeout=60_000)


async def backed_up(page: Page, what: str = "all") -> None:
    await page.goto("/console/backups")
    await page.get_by_label("Back up").select_option(what)
    await page.get_by_role("button", name="Make a backup").click()
    await done(page)


async def test_an_operators_day(page: Page, database: Database, seen: Seen) -> None:
    """Load a file with bad rows, back up, change, restore, read the report."""
    await add_parents(database, range(1, 4))
    await _load_the_good_rows(page, database)
    await backed_up(page)
    await _spoil(database)
    await _restore(page, database, seen)
    await _read_the_report(page)


async def _load_the_good_rows(page: Page, database: Database) -> None:
    await checked(page, {"hired_employees.csv": HIRES_CSV})
    rejected = page.get_by_role("region", name="Rejected rows")
    for reason in ("name is missing", "datetime is no real date", "department_id 99 is not in"):
        await expect(rejected).to_contain_text(reason)
    assert await count(database, "hired_employees") == 0

    await page.get_by_role("button", name="Load the good rows").click()
    await done(page)
    assert set(await names(database)) == {1, 2, 6}
    async with page.expect_download() as download:
        await page.get_by_role("link", name="Download the rejects").click()
    lines = (await (await download.value).path()).read_text().splitlines()
    assert [line.partition(",")[0] for line in lines] == ["line", "4", "5", "6"]


async def _spoil(database: Database) -> None:
    async with database.transaction() as transaction:
        await transaction.execute("DELETE FROM hired_employees WHERE id = 1")
        await transaction.execute("UPDATE hired_employees SET name = 'X' WHERE id = 2")
        await transaction.execute("INSERT INTO jobs (job) VALUES ('More')")


async def _restore(page: Page, database: Database, seen: Seen) -> None:
    await page.goto("/console/backups")
    await page.get_by_role("button", name="Restore").first.click()
    result = page.get_by_role("region", name="Result").get_by_role("row", name="employees")
    await expect(result).to_contain_text("employees3110")
    await page.get_by_role("textbox").fill("nonsense")
    await page.get_by_role("button", name="Restore").click()
    await expect(page.get_by_role("alert").filter(has_text="Type all")).to_be_visible()
    assert await count(database, "hired_employees") == 2
    assert "400" in seen.errors.pop()
    await page.get_by_role("textbox").fill("all")
    await page.get_by_role("button", name="Restore").click()
    await done(page)
    assert (await names(database))[2] == "Ben"
    assert await count(database, "jobs") == 3


async def _read_the_report(page: Page) -> None:
    await page.goto("/console/reports")
    quarters = page.get_by_role("region", name="Hires by department and job").get_by_role("row")
    assert [await row.inner_text() for row in (await quarters.all())[1:]] == [
        "departments 1\tjobs 1\t1\t0\t0\t0\t1",
        "departments 1\tjobs 2\t0\t0\t0\t1\t1",
        "departments 2\tjobs 1\t0\t1\t0\t0\t1",
    ]
    async with page.expect_download() as download:
        await page.get_by_role("link", name="Hires by quarter as CSV").click()
    text = (await (await download.value).path()).read_text()
    assert text.splitlines()[1] == "departments 1,jobs 1,1,0,0,0"


async def test_rows_without_ids_get_new_ones(page: Page, database: Database) -> None:
    await checked(page, {"jobs.ndjson": '{"job": "Clerk"}\n{"job": ""}\n{"job": "Baker"}\n'})
    await expect(page.get_by_role("region", name="Rejected rows")).to_contain_text("blank")
    await expect(page.get_by_role("region", name="Row by row")).to_contain_text("good")
    await page.reload()
    await page.get_by_role("button", name="Load the good rows").click()
    await done(page)
    assert await count(database, "jobs") == 2
    await page.goto("/console/rejects?table=jobs&code=blank")
    await expect(page.get_by_text("job must not be blank").first).to_be_visible()


async def test_a_backup_is_verified_and_downloaded(page: Page, database: Database) -> None:
    await add_parents(database, range(1, 3))
    await backed_up(page, "jobs")
    await page.goto("/console/backups")
    async with page.expect_download() as download:
        await page.get_by_role("link", name=re.compile("^jobs-")).first.click()
    assert (await (await download.value).path()).read_bytes().startswith(b"Obj\x01")
    await page.get_by_role("button", name=re.compile("^Verify jobs-")).first.click()
    await expect(page.get_by_text("The backup is complete and unchanged.")).to_be_visible()


async def test_a_file_that_cannot_be_read_gets_advice(page: Page, database: Database) -> None:
    await page.goto("/console/load")
    await page.locator("#file").set_input_files(
        {"name": "jobs.csv", "mimeType": "text/csv", "buffer": b"id,nonsense\n1,a\n"}
    )
    await page.get_by_role("button", name="Check the files").click()
    await expect(page.get_by_role("alert").filter(has_text="It must name id, ")).to_be_visible()


async def test_by_keyboard_alone(page: Page, database: Database) -> None:
    await add_parents(database, range(1, 60))
    await page.goto("/")
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    await page.keyboard.press("Enter")
    await page.goto("/console/tables/jobs")
    await page.get_by_role("link", name="Next page").focus()
    await page.keyboard.press("Enter")
    await page.get_by_role("link", name="51", exact=True).press("Enter")
    await expect(page.get_by_role("heading", name="Jobs 51")).to_be_visible()


async def test_the_api_page_works(page: Page) -> None:
    await page.goto("/schema")
    await expect(page.get_by_text("/reports/hires-by-quarter", exact=True)).to_be_visible()
