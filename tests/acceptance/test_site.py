"""The documentation in a real browser: it loads nothing from other servers and fits a phone."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, expect

from tests.support import site
from tests.support.browser import Seen, chromium, opened

pytestmark = pytest.mark.skipif(chromium() is None, reason="no Chromium is installed")
PHONE = {"width": 380, "height": 800}


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Write nothing."""


@pytest.fixture(scope="module")
def html(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return site.built(tmp_path_factory.mktemp("documentation") / "site")


@pytest.fixture(scope="module")
def address(html: Path) -> Iterator[str]:
    handler = functools.partial(Quiet, directory=str(html))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="module")
def names(html: Path) -> list[str]:
    return [str(page.relative_to(html)) for page in sorted(html.rglob("*.html"))]


async def test_each_page_fits_a_phone_and_loads_nothing_from_elsewhere(
    browser: Browser, names: list[str], address: str, seen: Seen
) -> None:
    async with opened(browser, address, "", "", seen, viewport=PHONE) as page:
        for name in names:
            await page.goto(f"{address}{name}")
            wide = await page.evaluate("document.documentElement.scrollWidth")
            assert wide <= PHONE["width"], name
    assert [url for url in seen.requests if not url.startswith(address)] == []
    assert seen.errors == []


async def test_the_search_finds_a_setting(browser: Browser, address: str, seen: Seen) -> None:
    async with opened(browser, address, "", "", seen) as page:
        await page.goto(address)
        await page.keyboard.press("Control+k")
        await page.keyboard.type("API_MAX_BATCHES")
        await expect(page.get_by_role("link", name="Configuration").first).to_be_visible()
    assert [url for url in seen.requests if not url.startswith(address)] == []
    assert seen.errors == []
