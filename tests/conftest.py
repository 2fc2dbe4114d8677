"""The database for the tests: one server, one database a worker, rows deleted between tests.

`TEST_MYSQL_URL` names a server (`mysql://user:password@host:port`, or `embedded`). Without it:
a `mysql:9.7` container where a container engine answers, else the embedded database.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, cast

import httpx
import hypothesis
import msgspec
import pytest
from litestar import Litestar

from service.core.database.connect import connect
from service.core.database.migrations import migrate
from service.core.database.transactions import Database
from service.core.rules.fields import MAX_ID
from service.core.settings import Settings
from service.core.tables import TABLES
from service.web.access import users
from service.web.app import create_app
from tests.support import browser, engine
from tests.support.tcp_proxy import Wire

USER, PASSWORD = "admin", "test-password"
# An application a test is many; what they are served with hashes as the service does.
HASHED_WITH = dict(users.ARGON2)
users.ARGON2.update(users.Cost(iterations=1, lanes=1, memory_cost=64))
# How long an example takes says more of the machine than of the code.
hypothesis.settings.register_profile("suite", deadline=None)
hypothesis.settings.load_profile("suite")
_stack = ExitStack()


def pytest_configure(config: pytest.Config) -> None:
    """Start the server once, in the process that the workers are started from."""
    if not hasattr(config, "workerinput") and not config.option.collectonly:
        os.environ["TEST_SERVER"] = _stack.enter_context(engine.start())


def pytest_unconfigure() -> None:
    _stack.close()


def pytest_report_header() -> list[str]:
    server = os.environ.get("TEST_SERVER", "none: only collecting")
    return [f"database: {engine.describe(server)}", f"browser: {browser.describe()}"]


@pytest.fixture(scope="session")
def settings() -> Iterator[Settings]:
    """Settings for this worker's database."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
    with tempfile.TemporaryDirectory() as folder:
        base = engine.settings(os.environ["TEST_SERVER"], f"test_{worker}")
        yield msgspec.structs.replace(
            base,
            api_user=USER,
            api_pass=PASSWORD,
            rejects_dir=Path(folder) / "rejects",
            backup_dir=Path(folder) / "backups",
        )


@pytest.fixture(scope="session")
def migrated(settings: Settings) -> Settings:
    """The same, once the tables are there."""
    asyncio.run(_migrate(settings))
    return settings


async def _migrate(settings: Settings) -> None:
    await engine.create_database(settings)
    async with connect(settings) as database:
        await migrate(database)


@pytest.fixture
async def database(migrated: Settings) -> AsyncIterator[Database]:
    """A pool on empty tables."""
    async with connect(migrated) as database:
        await empty(database)
        yield database
        used_up = await _ids_are_used_up(database)
    if used_up:
        await _migrate(migrated)


async def _ids_are_used_up(database: Database) -> bool:
    """Whether a test went near the last id: the next one generated would be beyond it."""
    highest = " UNION ALL ".join(f"SELECT MAX(id) FROM {table.name}" for table in TABLES)
    return any((number or 0) > MAX_ID // 2 for (number,) in await database.fetch(highest))


async def empty(database: Database) -> None:
    """Delete all rows, children first."""
    found = {name for (name,) in await database.fetch("SHOW TABLES")} - {"schema_migrations"}
    parents = [table.name for table in reversed(TABLES)]
    async with database.transaction() as transaction:
        for name in [*sorted(found.difference(parents)), *parents]:
            await transaction.execute(f"DELETE FROM {name}")


@pytest.fixture
async def scratch(settings: Settings) -> AsyncIterator[Settings]:
    """Settings of a database of one's own, without tables, gone afterwards."""
    name = f"{settings.mysql_database}_scratch"
    own = msgspec.structs.replace(settings, mysql_database=name)
    await engine.create_database(own)
    yield own
    await engine.drop_database(own)


@pytest.fixture
async def wire(migrated: Settings) -> AsyncIterator[Wire]:
    """A TCP port that leads to the server, and can be cut."""
    async with engine.wire(migrated) as wire:
        yield wire


@asynccontextmanager
async def calling(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an application that runs in this loop; it sends the right credentials."""
    app = create_app(settings)
    transport = httpx.ASGITransport(cast("Any", app), raise_app_exceptions=False)
    auth = httpx.BasicAuth(settings.api_user, settings.api_pass)
    async with (
        _running(app),
        httpx.AsyncClient(transport=transport, base_url="http://test", auth=auth) as client,
    ):
        yield client


@asynccontextmanager
async def _running(app: Litestar) -> AsyncIterator[None]:
    """The application from its start to its end, in a task of its own as it demands."""
    started, enough = asyncio.Event(), asyncio.Event()

    async def run() -> None:
        try:
            async with app.lifespan():
                started.set()
                await enough.wait()
        finally:
            started.set()

    running = asyncio.create_task(run())
    await started.wait()
    if running.done():
        await running
    try:
        yield
    finally:
        enough.set()
        await running


@pytest.fixture
async def client(migrated: Settings, database: Database) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the application on empty tables."""
    async with calling(migrated) as client:
        yield client


@pytest.fixture(scope="module")
async def caller(migrated: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """The same for requests that write nothing: one for all tests of a module."""
    async with connect(migrated) as database:
        await empty(database)
    async with calling(migrated) as client:
        yield client
