"""A service, a page in a browser that sends requests only to it, the environment of a loader."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from playwright.async_api import Browser, Page

from service.core.database.transactions import Database
from service.core.settings import Settings
from tests.conftest import PASSWORD, USER
from tests.support import browser as browsers
from tests.support import engine
from tests.support.browser import Seen
from tests.support.hires import add_parents
from tests.support.program import Service

PROGRESS = re.compile(
    r"(back up|verify|restore|compare) [a-z_]+"
    r"(: [\d,]+ rows, [\d,]+ rows/s(, \d+ %, \d+ s left)?)?"
)
"""A line of progress, as commands print it without a terminal."""


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
def variables(migrated: Settings, database: Database, tmp_path: Path) -> dict[str, str]:
    """The environment of a loader, with its own folder for rejects."""
    return engine.environment(migrated) | {"REJECTS_DIR": str(tmp_path / "rejects")}


@pytest.fixture
async def parents(database: Database) -> Database:
    """Empty tables with a department and a job, both with the id 1."""
    await add_parents(database, range(1, 2))
    return database


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
