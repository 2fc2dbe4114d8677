"""The overview in a real browser: the rows of today, the rejects and the servers, with links."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from service.core.database.transactions import Database
from service.core.settings import Settings
from tests.conftest import PASSWORD, USER
from tests.support import browser as browsers
from tests.support import engine, program
from tests.support.program import Service

pytestmark = pytest.mark.skipif(browsers.chromium() is None, reason="no Chromium was found")


@pytest.fixture
async def filled(
    service: Service, settings_here: Settings, database: Database, tmp_path: Path
) -> Database:
    """The sample, loaded by the loader; a backup, restored by the command; rows of the API."""
    variables = engine.environment(settings_here) | {"REJECTS_DIR": str(tmp_path / "rejects")}
    ended = await program.run("loader", **variables)
    assert ended.code == 0, ended.err
    folder = tmp_path / "backups"
    ended = await program.run("service", "backup", str(folder), **variables)
    assert ended.code == 0, ended.err
    async with service.client(USER, PASSWORD) as client:
        await client.post("/jobs", json=[{"job": "Clerk"}, {"job": ""}])
        deleted = await client.delete("/employees/1")
        assert deleted.status_code == 200, deleted.text
    (backup,) = folder.iterdir()
    ended = await program.run("service", "restore", str(backup), **variables)
    assert ended.code == 0, ended.err
    return database


async def test_the_rows_of_today_are_shown_by_source_and_user(page: Page, filled: Database) -> None:
    await page.goto("/")
    today = page.locator("section", has=page.get_by_role("heading", name="Rows added today"))
    await expect(today.get_by_role("listitem").filter(has_text="Loader")).to_contain_text(
        "1,929 employees"
    )
    await expect(today.get_by_role("listitem").filter(has_text="Restores")).to_contain_text(
        "1 employees"
    )
    # The service adds its counts every few seconds.
    api = today.get_by_role("listitem").filter(has_text=f"API, {USER}")
    for _ in range(10):
        if await api.count():
            break
        await page.wait_for_timeout(1000)
        await page.reload()
    await expect(api).to_contain_text("1 jobs")


async def test_each_fact_leads_to_its_page(page: Page, filled: Database) -> None:
    await page.goto("/")
    await expect(page.get_by_role("link", name=re.compile("1,929 employees"))).to_be_visible()
    chart = page.get_by_role("img", name=re.compile("^Hires per month from"))
    await expect(chart.locator("rect")).to_have_count(12)
    await page.get_by_text("Hires per month as a table").click()
    months = page.get_by_role("table").get_by_role("row")
    await expect(months).to_have_count(13)

    rejects = page.locator("section", has=page.get_by_role("heading", name="Open rejects"))
    code = rejects.get_by_role("link").first
    name = await code.inner_text()
    await code.click()
    await expect(page.get_by_role("heading", name="Rejects")).to_be_visible()
    assert f"code={name}" in page.url
    await expect(page.get_by_text(name).first).to_be_visible()


async def test_a_first_visit_says_what_to_do(page: Page, database: Database) -> None:
    await page.goto("/")
    steps = page.locator("section", has=page.get_by_role("heading", name="What to do first"))
    await steps.get_by_role("link", name="Load files").click()
    await expect(page.get_by_role("heading", name="Load")).to_be_visible()


async def test_the_health_of_the_server_is_shown(
    page: Page, database: Database, settings_here: Settings
) -> None:
    await page.goto("/")
    servers = page.locator("section", has=page.get_by_role("heading", name="Servers"))
    await expect(servers.get_by_text("takes writes")).to_be_visible()
    engines = "seekdb|OceanBase" if settings_here.embedded else "MySQL|MariaDB"
    await expect(servers.get_by_text(re.compile(f"({engines}) \\d"))).to_be_visible()
