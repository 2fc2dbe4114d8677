"""The console for tests in a browser: a service, and a page that sends requests only to it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec
import pytest
from playwright.async_api import Browser, Page

from service.core.settings import Settings
from tests.conftest import PASSWORD, USER
from tests.support import browser as browsers
from tests.support import engine
from tests.support.browser import Seen
from tests.support.program import Service


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
    assert seen.errors == []
