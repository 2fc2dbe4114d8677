"""The reports in a browser: years, comparison with the year before, filter, order, print."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

import pytest
from playwright.async_api import Browser, Locator, Page, expect

from service.core.database.transactions import Database
from tests.conftest import PASSWORD, USER
from tests.integration.api.test_reports import put
from tests.support import browser as browsers
from tests.support.browser import Seen
from tests.support.program import Service

pytestmark = pytest.mark.skipif(browsers.chromium() is None, reason="no Chromium was found")
A4 = {"width": 680, "height": 1000}
"""The text area of a page, in CSS pixels."""
DEPARTMENTS = {1: "Sales", 2: "Art", 3: "Law", 4: "Tax"}
HIRES = [
    *[("2021-02-05", 1, 1)] * 2,
    *[("2021-08-05", 1, 2)] * 3,
    ("2021-11-05", 2, 1),
    *[("2020-02-05", 1, 1)] * 5,
    *[("2020-11-05", 3, 2)] * 2,
    ("2015-01-05", 3, 1),
]
"""2021: Sales 2 0 3 0 and Art 0 0 0 1. 2020: Sales 5 0 0 0 and Law 0 0 0 2."""


@pytest.fixture
async def hires(database: Database) -> None:
    await put(database, HIRES, DEPARTMENTS)


async def cells(table: Locator) -> list[str]:
    """The texts of the rows of a table, cells and numbers separated by one space."""
    texts = await table.locator("tbody tr").all_inner_texts()
    return [" ".join(text.split()) for text in texts]


@pytest.mark.usefixtures("hires")
async def test_a_year_is_chosen_from_a_list_and_compared_with_the_one_before(page: Page) -> None:
    await page.goto("/console/reports")
    years = page.get_by_role("navigation", name="Years").get_by_role("link")
    assert await years.all_inner_texts() == ["2021", "2020", "2015"]
    table = page.get_by_role("region", name="Hires by department", exact=True)
    assert await cells(table) == [
        "Art 0 ±0 0 ±0 0 ±0 1 +1 1 0 +1",
        "Law 0 ±0 0 ±0 0 ±0 0 −2 0 2 −2",
        "Sales 2 −3 0 ±0 3 +3 0 ±0 5 5 ±0",
    ]
    await expect(table.locator("tfoot")).to_contain_text("All departments")
    assert " ".join((await table.locator("tfoot").inner_text()).split()).endswith("6 7 −1")
    await expect(page.locator(".card").first).to_contain_text("−1 against 7")
    await years.filter(has_text="2015").click()
    await expect(page.locator(".lead")).to_contain_text("There are none in 2014")
    assert await cells(table) == ["Law 1 0 0 0 1"]


@pytest.mark.usefixtures("hires")
async def test_a_department_shows_its_jobs_alone(page: Page) -> None:
    await page.goto("/console/reports?order=-total")
    await page.get_by_role("combobox", name="Department").select_option("Sales")
    await page.get_by_role("button", name="Show").click()
    table = page.get_by_role("region", name="Hires by department and job")
    assert await cells(table) == ["Sales Baker 0 0 3 0 3 0 +3", "Sales Clerk 2 0 0 0 2 5 −3"]
    chart = await page.get_by_role("img", name="Hires of 2021 by job").get_attribute("src")
    assert "Hires of Sales by quarter, 2021" in await (await page.request.get(str(chart))).text()
    async with page.expect_download() as download:
        await page.get_by_role("link", name="Hires by quarter as CSV").click()
    lines = (await (await download.value).path()).read_text().splitlines()
    assert lines[1:] == ["Sales,Baker,0,0,3,0", "Sales,Clerk,2,0,0,0"]
    await page.get_by_role("link", name="All departments").click()
    assert len(await cells(table)) == 4


@pytest.mark.usefixtures("hires")
async def test_every_column_sorts_by_keyboard(page: Page) -> None:
    await page.goto("/console/reports")
    table = page.get_by_role("region", name="Hires by department", exact=True)
    for column, descending, ascending in [
        ("Q3", "Sales Art Law", "Art Law Sales"),
        ("Q4", "Art Law Sales", "Law Sales Art"),
        ("2021", "Sales Art Law", "Law Art Sales"),
        ("2020", "Sales Law Art", "Art Law Sales"),
        ("change", "Art Sales Law", "Law Sales Art"),
    ]:
        for order, names in [("descending", descending), ("ascending", ascending)]:
            await table.get_by_role("link", name=column, exact=True).press("Enter")
            head = table.get_by_role("columnheader", name=column, exact=True)
            await expect(head).to_have_attribute("aria-sort", order)
            found = [row.split()[0] for row in await cells(table)]
            assert found == names.split(), (column, order)
    assert re.search(r"order=change#by-department$", page.url)


async def test_without_hires_the_page_says_what_to_do(page: Page, database: Database) -> None:
    await page.goto("/console/reports")
    await page.get_by_role("link", name="Load a file").click()
    await expect(page.get_by_role("heading", name="Load", exact=True)).to_be_visible()


@pytest.mark.usefixtures("hires")
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_paper_has_the_tables_in_light_colours_and_no_navigation(
    browser: Browser,
    service: Service,
    seen: Seen,
    scheme: Literal["light", "dark"],
    tmp_path: Path,
) -> None:
    address = f"http://127.0.0.1:{service.port}"
    async with browsers.opened(
        browser, address, USER, PASSWORD, seen, color_scheme=scheme, viewport=A4
    ) as page:
        await page.goto("/console/reports?year=2021")
        await page.emulate_media(media="print")
        for hidden in (page.get_by_role("navigation"), page.get_by_role("button")):
            assert not [one for one in await hidden.all() if await one.is_visible()]
        await expect(page.get_by_role("columnheader", name="job")).to_be_visible()
        colours = "(({ color, backgroundColor }) => [color, backgroundColor])"
        text, ground = await page.evaluate(f"{colours}(getComputedStyle(document.body))")
        assert (text, ground) == ("rgb(26, 31, 39)", "rgb(255, 255, 255)")
        wide = await page.evaluate("document.documentElement.scrollWidth > innerWidth")
        assert not wide
        assert (await page.pdf(path=tmp_path / "report.pdf")).startswith(b"%PDF")
