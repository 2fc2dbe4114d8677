"""Hostile uploads are refused quickly, in little memory, and leave no file."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from service.core.database.transactions import Database
from service.core.settings import Settings
from service.core.tables import TABLES
from tests.conftest import PASSWORD, USER
from tests.support import engine, hostile_files
from tests.support.processes import open_files, peak
from tests.support.program import Service

SECONDS, MEBIBYTES = 5, 150


@pytest.fixture
async def service(migrated: Settings, tmp_path: Path) -> AsyncIterator[Service]:
    variables = engine.environment(migrated)
    del variables["API_PORT"]
    service = await Service.started(**variables, TMPDIR=str(tmp_path))
    yield service
    await service.end()


def temporary_files(pid: int, folder: Path) -> list[str]:
    """What the process holds open in a folder, nameless files included."""
    return [name for name in open_files(pid) if name.startswith(str(folder))] + [
        path.name for path in folder.iterdir()
    ]


async def test_hostile_uploads_are_cheap_and_leave_nothing(
    service: Service, database: Database, tmp_path: Path
) -> None:
    async with service.client(USER, PASSWORD) as client:
        await client.post("/avro/verify", content=b"Obj")
        idle, before = peak(service.pid), temporary_files(service.pid, tmp_path)
        for name in [*hostile_files.AVRO, *hostile_files.ZIPS]:
            content = hostile_files.content(name)
            for path in ("restore/employees", "restore/all", "verify"):
                started = time.perf_counter()
                reply = await client.post(f"/avro/{path}", content=content)
                assert 400 <= reply.status_code < 500, (name, path, reply.text)
                assert time.perf_counter() - started < SECONDS, (name, path)
        assert peak(service.pid) - idle <= MEBIBYTES
        assert temporary_files(service.pid, tmp_path) == before
    for table in TABLES:
        assert await database.fetch(table.sql["count"]) == [(0,)]
