"""The application in this event loop, users, tables with rows, and files to load."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import msgspec
import pytest

from loader.reading import blocks
from service.core.database.connect import connect
from service.core.database.transactions import Database
from service.core.settings import Settings
from service.core.tables import by_path
from tests.conftest import calling, empty
from tests.support.csv_files import Folder
from tests.support.hires import add_parents
from tests.support.lists import HIRES
from tests.support.passwords import hashed
from tests.support.restores import fill
from tests.support.serving import serving

SMALL = 256
"""Bytes in a block: about six hires."""


@pytest.fixture(scope="module")
async def service(migrated: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """One application for a module, in this event loop."""
    async with serving(migrated) as client:
        yield client


@pytest.fixture
async def api(service: httpx.AsyncClient, database: Database) -> httpx.AsyncClient:
    """A client of it, on empty tables."""
    return service


@pytest.fixture
async def parents(database: Database) -> None:
    """Departments and jobs 1 and 2."""
    await add_parents(database, range(1, 3))


@pytest.fixture
async def filled(database: Database) -> Database:
    """Tables with rows to back up and to restore."""
    await fill(database)
    return database


@pytest.fixture(scope="module")
async def hires(migrated: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an application with 150 hires to find, in 5 departments and 7 jobs."""
    async with connect(migrated) as database:
        await empty(database)
        await add_parents(database, range(1, 8))
        async with database.transaction() as transaction:
            await transaction.insert(by_path("employees").sql["insert_with_id"], HIRES)
    async with calling(migrated) as client:
        yield client


@pytest.fixture
def several(migrated: Settings, tmp_path: Path) -> Settings:
    """Settings with a user of each role, password and name the same, beside API_USER."""
    file = tmp_path / "users"
    roles = ("reader", "writer", "operator", "reader,writer")
    lines = [f"{role.replace(',', '-')}:{role}:{hashed(role.replace(',', '-'))}" for role in roles]
    file.write_text("# who may do what\n\n" + "\n".join(lines) + "\n")
    return msgspec.structs.replace(migrated, api_users=file)


@pytest.fixture
def tiny_disk() -> Iterator[Path]:
    """A file system of 1 MiB."""
    # Not in tmp_path: if a run is killed, the next ones could not delete it.
    with tempfile.TemporaryDirectory(prefix="hirebase-disk-") as folder:
        mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder]
        if subprocess.run(mount, check=False).returncode:
            pytest.skip("mounting a file system needs root")
        yield Path(folder)
        subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Files to load: two departments, two jobs, no hires."""
    return Folder(tmp_path)


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loads of a few rows in many blocks."""
    monkeypatch.setattr(blocks, "BLOCK", SMALL)


@pytest.fixture
async def single(database: Database, migrated: Settings) -> AsyncIterator[Database]:
    """A pool of one connection, on empty tables."""
    settings = msgspec.structs.replace(migrated, mysql_pool_size=1)
    async with connect(settings) as single:
        yield single
