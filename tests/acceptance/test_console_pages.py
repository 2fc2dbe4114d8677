"""Every page of the console is accessible: axe-core checks it, wide and narrow, light and dark."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Literal

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page, expect

from loader.loading.pipeline import load
from loader.options import Options
from service.core.backups.backup_store import BackupStore
from service.core.database.connect import connect
from service.core.settings import Settings
from service.core.tables import TABLES
from tests.conftest import PASSWORD, USER, empty
from tests.support import browser as browsers
from tests.support import sample
from tests.support.browser import HIRES_CSV, Seen, checked
from tests.support.program import Service

pytestmark = pytest.mark.skipif(browsers.chromium() is None, reason="no Chromium was found")
SCREENSHOTS = os.environ.get("SCREENSHOTS")
"""The folder for screenshots of every page; none by default."""
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
WITH_FREE_IDS = re.sub(r"(?m)^(\d)", r"200\1", HIRES_CSV)
WIDTHS = {"wide": 960, "narrow": 380}


@pytest.fixture(scope="module")
async def filled(
    service: Service, settings_here: Settings, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[None]:
    """The first rows of the sample, a backup and some rejects."""
    tmp = tmp_path_factory.mktemp("sample")
    async with connect(settings_here) as database:
        await empty(database)
        for table in TABLES:
            # axe-core checks every cell, so one page of rows is enough.
            whole = (sample.FOLDER / f"{table.name}.csv").read_text("utf-8")
            lines = whole.splitlines(keepends=True)[:200]
            (tmp / f"{table.name}.csv").write_text("".join(lines), "utf-8")
        await load(database, Options(tmp, settings_here.rejects_dir))
        await BackupStore(settings_here.backup_dir).save(database, None, "deflate")
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
        "viewport": {"width": WIDTHS[width], "height": 640},
    }
    address = f"http://127.0.0.1:{service.port}"
    async with browsers.opened(browser, address, USER, PASSWORD, seen, **options) as page:
        for name, path in PAGES.items():
            await page.goto(path)
            await _check(page, f"{name}-{width}-{scheme}")
        await checked(page, {"hired_employees.csv": WITH_FREE_IDS})
        await _check(page, f"verdict-{width}-{scheme}")
        await page.goto("/console/backups")
        await page.get_by_role("button", name="Restore").first.click()
        await expect(page.get_by_text("This is a preview.")).to_be_visible()
        await _check(page, f"restore-{width}-{scheme}")


async def _check(page: Page, name: str) -> None:
    """No violation, and no horizontal scrolling."""
    await page.wait_for_load_state()  # a text is there before the style sheet is
    if SCREENSHOTS:
        await page.screenshot(
            path=Path(SCREENSHOTS) / f"{name}.jpg", type="jpeg", quality=20, scale="css"
        )
    results = await Axe().run(page)
    assert results.violations_count == 0, f"{name}: {results.generate_report()}"
    wide = await page.evaluate("document.documentElement.scrollWidth > innerWidth")
    assert not wide, f"{name} is wider than the window"
