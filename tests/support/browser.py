"""A real browser on the console: Debian's Chromium, driven by Playwright."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from playwright.async_api import Browser, Page, async_playwright, expect

HIRES_CSV = """\
id,name,datetime,department_id,job_id
1,Ana,2021-01-05T10:00:00Z,1,1
2,Ben,2021-05-05T10:00:00Z,2,1
3,,2021-05-05T10:00:00Z,1,1
4,Cem,2021-02-30T10:00:00Z,1,1
5,Dan,2021-08-05T10:00:00Z,99,1
6,Eva <img src=x onerror=alert(1)>,2021-11-05T10:00:00Z,1,2
"""
"""Good and bad rows, if departments and jobs have rows 1 to 3."""

NAMES = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--no-first-run",
]


def chromium() -> str | None:
    """The path of Chromium, if it is installed."""
    return next(filter(None, map(shutil.which, NAMES)), None)


def describe() -> str:
    """A text for the header of the test run."""
    return chromium() or "none found (apt-get install chromium): the tests in one are skipped"


@dataclass
class Seen:
    """The requests and the errors of a browser."""

    requests: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


@asynccontextmanager
async def launched() -> AsyncIterator[Browser]:
    """A new browser."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=chromium(), args=ARGUMENTS, chromium_sandbox=False
        )
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def opened(
    browser: Browser, address: str, user: str, password: str, seen: Seen, **options: Any
) -> AsyncIterator[Page]:
    """A page of a browser that has the credentials."""
    context = await browser.new_context(
        base_url=address, http_credentials={"username": user, "password": password}, **options
    )
    page = await context.new_page()
    context.on("request", lambda request: seen.requests.append(request.url))
    page.on("pageerror", lambda error: seen.errors.append(str(error)))
    page.on(
        "console",
        lambda message: seen.errors.append(message.text) if message.type == "error" else None,
    )
    try:
        yield page
    finally:
        await context.close()


async def dropped(page: Page, files: dict[str, str]) -> None:
    """Drop files, content by name, on the page of loads, and wait until they are uploaded."""
    await page.goto("/console/load")
    data = await page.evaluate_handle(
        """(files) => {
            const data = new DataTransfer();
            for (const [name, content] of files) data.items.add(new File([content], name));
            return data;
        }""",
        list(files.items()),
    )
    await page.dispatch_event(".drop", "drop", {"dataTransfer": data})
    await expect(page.get_by_role("button", name="Check the files")).to_be_enabled()


async def checked(page: Page, files: dict[str, str]) -> None:
    """Drop files on the page, and wait for their check."""
    await dropped(page, files)
    await page.get_by_role("button", name="Check the files").click()
    await expect(page.get_by_text("This is a preview.")).to_be_visible(timeout=30_000)
