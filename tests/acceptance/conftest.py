"""A service, a page in a browser that sends requests only to it, a program with a fourth table."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from playwright.async_api import Browser, Page

from service.core.database.connect import connect
from service.core.database.transactions import Database
from service.core.settings import Settings
from tests.conftest import PASSWORD, USER
from tests.fourth.company import PARENTS, Company
from tests.fourth.program import with_a_fourth_table
from tests.support import browser as browsers
from tests.support import engine
from tests.support.browser import Seen
from tests.support.example_clients import running
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


@pytest.fixture(scope="module")
async def company(
    settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Company]:
    """A program with a fourth table, and one row in each of the others."""
    where = with_a_fourth_table(tmp_path_factory.mktemp("fourth"))
    own = msgspec.structs.replace(
        settings,
        mysql_database=f"{settings.mysql_database}_fourth",
        rejects_dir=where / "rejects",
        backup_dir=where / "backups",
    )
    await engine.create_database(own)
    variables = engine.environment(own)
    service = await Service.started(where=str(where), **variables)
    try:
        async with service.client(USER, PASSWORD) as client:
            company = Company(where, variables, client)
            finished = await company.load(**PARENTS)
            assert finished.code == 0, finished.err
            assert f"No file for contracts in {company.data}" in finished.out
            yield company
    finally:
        await service.end()
        await engine.drop_database(own)


@pytest.fixture
async def ready(company: Company, settings: Settings) -> Company:
    """The same without rows in the fourth table."""
    name = f"{settings.mysql_database}_fourth"
    own = msgspec.structs.replace(settings, mysql_database=name)
    async with connect(own) as database, database.transaction() as transaction:
        for table in ("contracts", "rejects", "loads"):
            await transaction.execute(f"DELETE FROM {table}")
    return company


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


@pytest.fixture
async def narrow(settings_here: Settings) -> AsyncIterator[Service]:
    """A service that runs one batch at a time."""
    async with running(settings_here, 1) as service:
        yield service
