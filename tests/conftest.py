"""The database for the tests: one server, one database for each worker, empty before each test.

`TEST_MYSQL_URL` names a server (`mysql://user:password@host:port`, or `embedded`). Without it, the
tests use a `mysql:9.7` container if a container engine answers, else the embedded database.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import httpx
import hypothesis
import msgspec
import pytest

from service.core.database.connect import connect
from service.core.database.migrations import migrate
from service.core.database.statements import Transaction
from service.core.database.transactions import Database
from service.core.rules.fields import MAX_ID
from service.core.settings import Settings
from service.core.tables import TABLES
from service.web.access import users
from tests.support import browser, engine, servers
from tests.support.load import FIGURES
from tests.support.servers import Server
from tests.support.serving import serving
from tests.support.tcp_proxy import Proxy

USER, PASSWORD = "admin", "test-password"
MANY = 5000
"""A table with more rows is truncated, because deleting them takes long."""
# Each test starts an application, so the tests hash with little work. HASHED_WITH is the real cost.
HASHED_WITH = dict(users.ARGON2)
users.ARGON2.update(users.Cost(iterations=1, lanes=1, memory_cost=64))
# The time of an example depends on the machine more than on the code.
hypothesis.settings.register_profile("suite", deadline=None)
hypothesis.settings.load_profile("suite")
_stack = ExitStack()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--only-database",
        action="store_true",
        help="run only the tests that use the database under test",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.option.only_database:
        others = [item for item in items if "settings" not in _fixtures(item)]
        items[:] = [item for item in items if "settings" in _fixtures(item)]
        config.hook.pytest_deselected(items=others)


def _fixtures(item: pytest.Item) -> list[str]:
    return getattr(item, "fixturenames", [])


def pytest_configure(config: pytest.Config) -> None:
    """Start the server once, in the process that starts the workers."""
    if not hasattr(config, "workerinput") and not config.option.collectonly:
        os.environ["TEST_SERVER"] = _stack.enter_context(engine.start())


def pytest_unconfigure() -> None:
    _stack.close()


def pytest_report_header() -> list[str]:
    server = os.environ.get("TEST_SERVER", "none: only collecting")
    return [f"database: {engine.describe(server)}", f"browser: {browser.describe()}"]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what the tests measured, if they ran in this process (`-n 0`)."""
    if FIGURES:
        terminalreporter.section("figures")
        for line in FIGURES:
            terminalreporter.write_line(line)


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
    """The same, after the migrations."""
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
    """Whether a test used ids near the last one, so that the next generated id may not fit."""
    highest = " UNION ALL ".join(f"SELECT MAX(id) FROM {table.name}" for table in TABLES)
    return any((number or 0) > MAX_ID // 2 for (number,) in await database.fetch(highest))


async def empty(database: Database) -> None:
    """Delete all rows, children first."""
    found = {name for (name,) in await database.fetch("SHOW TABLES")} - {"schema_migrations"}
    parents = [table.name for table in reversed(TABLES)]
    names = [*sorted(found.difference(parents)), *parents]
    async with database.transaction() as transaction:
        large = [name for name in names if await _is_large(transaction, name)]
        await transaction.execute("SET SESSION foreign_key_checks = 0")
        for name in large:
            await transaction.execute(f"TRUNCATE TABLE {name}")
        await transaction.execute("SET SESSION foreign_key_checks = 1")
        for name in names:
            await transaction.execute(f"DELETE FROM {name}")


async def _is_large(transaction: Transaction, name: str) -> bool:
    """Whether it takes less time to truncate a table than to delete its rows."""
    return bool(await transaction.fetch(f"SELECT 1 FROM {name} LIMIT 1 OFFSET {MANY}"))


@pytest.fixture(scope="module")
def server(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Another server of the same engine, with durable data, which a test may kill."""
    with servers.running(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture
async def scratch(settings: Settings) -> AsyncIterator[Settings]:
    """Settings of a new database without tables, which is dropped afterwards."""
    name = f"{settings.mysql_database}_scratch"
    own = msgspec.structs.replace(settings, mysql_database=name)
    await engine.create_database(own)
    yield own
    await engine.drop_database(own)


@pytest.fixture
async def proxy(migrated: Settings) -> AsyncIterator[Proxy]:
    """A TCP port that leads to the server, and can be cut."""
    async with engine.proxy(migrated) as proxy:
        yield proxy


# A client of an application in this event loop, with the right credentials. It gets a reply for
# each error of the application.
calling = partial(serving, raise_app_exceptions=False)


@pytest.fixture
async def client(migrated: Settings, database: Database) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the application on empty tables."""
    async with calling(migrated) as client:
        yield client


@pytest.fixture(scope="module")
async def caller(migrated: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """The same for requests that write nothing: one client for all tests of a module."""
    async with connect(migrated) as database:
        await empty(database)
    async with calling(migrated) as client:
        yield client
