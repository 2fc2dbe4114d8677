"""The console in a real browser: what an operator does, what axe-core finds, what is loaded."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page, expect

from loader.options import Options
from loader.pipeline import load
from loader.sample import generate
from service.core.database import Database
from service.core.settings import Settings
from service.core.tables import TABLES
from tests import browser as browsers
from tests import engine
from tests.browser import Seen
from tests.conftest import PASSWORD, USER
from tests.hires import add_parents, count, names
from tests.program import Service

pytestmark = [
    pytest.mark.skipif(browsers.chromium() is None, reason="no Chromium was found"),
    pytest.mark.timeout(240),
]
SCREENSHOTS = os.environ.get("SCREENSHOTS")
"""A folder for pictures of every page, if they are wanted."""
PAGES = {
    "overview": "/",
    "tables": "/console/tables/employees",
    "row": "/console/tables/employees/1",
    "load": "/console/load",
    "backups": "/console/backups",
    "rejects": "/console/rejects",
    "reports": "/console/reports?year=2021",
    "error": "/console/tables/nonsense",
}
WIDTHS = {"wide": 1000, "narrow": 380}
HIRES = """\
id,name,datetime,department_id,job_id
1,Ana,2021-01-05T10:00:00Z,1,1
2,Ben,2021-05-05T10:00:00Z,2,1
3,,2021-05-05T10:00:00Z,1,1
4,Cem,2021-02-30T10:00:00Z,1,1
5,Dan,2021-08-05T10:00:00Z,99,1
6,Eva <img src=x onerror=alert(1)>,2021-11-05T10:00:00Z,1,2
"""


@pytest.fixture(scope="module")
async def settings_here(migrated: Settings, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("console")
    return msgspec.structs.replace(
        migrated, rejects_dir=folder / "rejects", backup_dir=folder / "backups"
    )


@pytest.fixture(scope="module")
async def service(settings_here: Settings) -> AsyncIterator[Service]:
    variables = engine.environment(settings_here)
    variables.pop("API_PORT", None)
    service = await Service.started(**variables)
    yield service
    await service.end()


@pytest.fixture(scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with browsers.launched() as browser:
        yield browser


@pytest.fixture
def seen() -> Seen:
    return Seen()


@pytest.fixture
async def page(browser: Browser, service: Service, seen: Seen) -> AsyncIterator[Page]:
    address = f"http://127.0.0.1:{service.port}"
    async with browsers.opened(browser, address, USER, PASSWORD, seen) as page:
        yield page
    assert [url for url in seen.requests if not url.startswith(f"{address}/")] == []
    assert seen.complaints == []


async def chosen(page: Page, name: str, content: str, table: str | None = None) -> None:
    """A file dropped on the page, and what would become of it."""
    await page.goto("/console/load")
    data = await page.evaluate_handle(
        """([name, content]) => {
            const data = new DataTransfer();
            data.items.add(new File([content], name));
            return data;
        }""",
        [name, content],
    )
    await page.dispatch_event(".drop", "drop", {"dataTransfer": data})
    if table:
        await page.get_by_label("Table", exact=True).select_option(table)
    await page.get_by_role("button", name="Check the file").click()
    await expect(page.get_by_text("This is what it would do.")).to_be_visible()


async def done(page: Page) -> None:
    await expect(page.get_by_role("status").filter(has_text="Done.")).to_be_visible(timeout=20_000)


async def backed_up(page: Page, what: str = "all") -> None:
    await page.goto("/console/backups")
    await page.get_by_label("Back up").select_option(what)
    await page.get_by_role("button", name="Take a backup").click()
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
    await chosen(page, "hired_employees.csv", HIRES)
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
    assert "400" in seen.complaints.pop()
    await page.get_by_role("textbox").fill("all")
    await page.get_by_role("button", name="Restore").click()
    await done(page)
    assert (await names(database))[2] == "Ben"
    assert await count(database, "jobs") == 3


async def _read_the_report(page: Page) -> None:
    await page.goto("/console/reports")
    quarters = page.get_by_role("region", name="Hires by quarter").get_by_role("row")
    assert [await row.inner_text() for row in (await quarters.all())[1:]] == [
        "departments 1\tjobs 1\t1\t0\t0\t0",
        "departments 1\tjobs 2\t0\t0\t0\t1",
        "departments 2\tjobs 1\t0\t1\t0\t0",
    ]
    async with page.expect_download() as download:
        await page.get_by_role("link", name="Hires by quarter as CSV").click()
    text = (await (await download.value).path()).read_text()
    assert text.splitlines()[1] == "departments 1,jobs 1,1,0,0,0"


async def test_rows_without_ids_get_new_ones(page: Page, database: Database) -> None:
    await chosen(page, "jobs.ndjson", '{"job": "Clerk"}\n{"job": ""}\n{"job": "Baker"}\n')
    await expect(page.get_by_role("region", name="Rejected rows")).to_contain_text("blank")
    await page.reload()
    await page.get_by_role("button", name="Load the good rows").click()
    await done(page)
    assert await count(database, "jobs") == 2
    await page.goto("/console/rejects?table=jobs&code=blank")
    await page.locator("summary").first.press("Enter")
    await expect(page.get_by_text("job must not be blank")).to_be_visible()


async def test_a_backup_is_verified_and_downloaded(page: Page, database: Database) -> None:
    await add_parents(database, range(1, 3))
    await backed_up(page, "jobs")
    await page.goto("/console/backups")
    async with page.expect_download() as download:
        await page.get_by_role("link", name=re.compile("^jobs-")).first.click()
    assert (await (await download.value).path()).read_bytes().startswith(b"Obj\x01")
    await page.get_by_role("button", name=re.compile("^Verify jobs-")).first.click()
    await expect(page.get_by_text("It is whole.")).to_be_visible()


async def test_a_file_that_cannot_be_read_says_what_to_do(page: Page, database: Database) -> None:
    await page.goto("/console/load")
    await page.locator("#file").set_input_files(
        {"name": "jobs.csv", "mimeType": "text/csv", "buffer": b"id,nonsense\n1,a\n"}
    )
    await page.get_by_role("button", name="Check the file").click()
    await expect(page.get_by_role("alert").filter(has_text="its columns are")).to_be_visible()


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


@pytest.fixture(scope="module")
async def filled(
    service: Service, settings_here: Settings, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[None]:
    """The first rows of the sample, a backup and some rejects."""
    from service.core import database as databases
    from service.core.depot import Depot
    from tests.conftest import empty

    tmp = tmp_path_factory.mktemp("sample")
    async with databases.connect(settings_here) as database:
        await empty(database)
        for table in TABLES:
            # axe-core looks at every cell: a page of them is enough.
            whole = (Path(generate.__file__).parent / f"{table.name}.csv").read_text("utf-8")
            lines = whole.splitlines(keepends=True)[:200]
            (tmp / f"{table.name}.csv").write_text("".join(lines), "utf-8")
        await load(database, Options(tmp, settings_here.rejects_dir))
        await Depot(settings_here.backup_dir).save(database, None, "deflate")
        yield


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
async def test_every_page_is_accessible(
    browser: Browser,
    service: Service,
    seen: Seen,
    scheme: Literal["light", "dark"],
    width: str,
) -> None:
    options: dict[str, Any] = {
        "color_scheme": scheme,
        "viewport": {"width": WIDTHS[width], "height": 700},
    }
    address = f"http://127.0.0.1:{service.port}"
    async with browsers.opened(browser, address, USER, PASSWORD, seen, **options) as page:
        for name, path in PAGES.items():
            await page.goto(path)
            await _check(page, f"{name}-{width}-{scheme}")
        await chosen(page, "hired_employees.csv", HIRES)
        await _check(page, f"verdict-{width}-{scheme}")
        await page.goto("/console/backups")
        await page.get_by_role("button", name="Restore").first.click()
        await expect(page.get_by_text("This is what it would do.")).to_be_visible()
        await _check(page, f"restore-{width}-{scheme}")


async def _check(page: Page, name: str) -> None:
    """No violation, and nothing that has to be scrolled for sideways."""
    if SCREENSHOTS:
        await page.screenshot(
            path=Path(SCREENSHOTS) / f"{name}.jpg", type="jpeg", quality=30, scale="css"
        )
    found = await Axe().run(page)
    assert found.violations_count == 0, f"{name}: {found.generate_report()}"
    wide = await page.evaluate("document.documentElement.scrollWidth > innerWidth")
    assert not wide, f"{name} is wider than the window"
