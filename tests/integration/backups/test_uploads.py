"""Uploads: their limit, and a body that announces more than fits is not read."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from service.core.database.transactions import Database
from service.core.settings import Settings, Size
from tests.conftest import calling
from tests.support.backup_files import unannounced

LOAD = "/console/uploads/0123456789abcdef/0?name=j.csv"
PATHS = ["/avro/verify", "/avro/restore/jobs", "/avro/restore/all", LOAD]


def limited(migrated: Settings) -> Settings:
    return msgspec.structs.replace(migrated, api_max_upload=Size.parse("100K"))


@pytest.mark.parametrize("path", PATHS)
async def test_an_upload_that_announces_too_much_is_not_read(
    database: Database, migrated: Settings, path: str
) -> None:
    sent = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(1000):
            sent += 1
            yield bytes(1000)

    async with calling(limited(migrated)) as client:
        reply = await client.post(path, content=body(), headers={"Content-Length": "1000000"})
        assert (reply.status_code, "102400 bytes" in reply.json()["detail"]) == (413, True)
        assert "API_MAX_UPLOAD" in reply.json()["detail"]
        assert sent == 0
        assert (await client.get("/limits")).json()["upload_bytes"] == 102_400


@pytest.mark.parametrize("path", PATHS)
async def test_an_upload_of_unknown_size_is_stopped_at_the_limit(
    database: Database, migrated: Settings, path: str
) -> None:
    async with calling(limited(migrated)) as client:
        reply = await client.post(path, content=unannounced())
        assert (reply.status_code, "API_MAX_UPLOAD" in reply.json()["detail"]) == (413, True)
        form = await client.post(path, files={"file": ("x", bytes(102_000))})
        assert form.status_code == (201 if path == LOAD else 422)
        form = await client.post(path, files={"file": ("x", bytes(103_000))})
        assert form.status_code == 413


@pytest.mark.parametrize("path", PATHS)
async def test_an_upload_that_announces_more_than_there_is_room_for_is_not_read(
    migrated: Settings,
    database: Database,
    tiny_disk: Path,
    monkeypatch: pytest.MonkeyPatch,
    path: str,
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tiny_disk))
    read = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal read
        for _ in range(2000):
            read += 1
            yield bytes(1000)

    headers = {"Content-Length": "2000000"}
    async with calling(migrated) as client:
        reply = await client.post(path, content=body(), headers=headers)
    assert (reply.status_code, read) == (507, 0)
    assert "(TMPDIR): No space left on device." in reply.json()["detail"]
