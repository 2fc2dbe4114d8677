"""Full disks and missing folders: a reply that says so, and nothing has changed."""

from __future__ import annotations

import io
import resource
import tempfile
import zipfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from httpx import AsyncClient as Client

from service.core.database.transactions import Database
from service.core.settings import Settings
from tests.conftest import calling
from tests.support.backup_files import JOBS, avro_file, records
from tests.support.restores import contents, post

PATHS = ["restore/jobs", "restore/all", "verify"]
ROOM = 1 << 16


@contextmanager
def little_room(size: int) -> Iterator[None]:
    """Limit the size of every file that this process writes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def chunked(size: int) -> AsyncIterator[bytes]:
    """More bytes than there is room for, in chunks of this size."""
    yield b"x" * (ROOM - 100)
    for _ in range(200 // size + 1):
        yield b"x" * size


@pytest.mark.parametrize("size", [1, 7, 200, ROOM])
@pytest.mark.parametrize("path", PATHS)
async def test_an_upload_to_a_full_disk(
    client: Client, filled: Database, path: str, size: int
) -> None:
    before = await contents(filled)
    with little_room(ROOM):
        reply = await client.post(f"/avro/{path}", content=chunked(size))
    assert reply.status_code == 507
    assert "cannot be written (TMPDIR): File too large." in reply.json()["detail"]
    assert await contents(filled) == before


@pytest.mark.parametrize("path", PATHS)
async def test_an_archive_that_is_extracted_to_a_full_disk(
    client: Client, filled: Database, path: str
) -> None:
    before = await contents(filled)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("jobs.avro", avro_file(JOBS, records(JOBS, 9000), "null"))
    assert len(packed.getvalue()) < ROOM
    with little_room(ROOM):
        reply = await post(client, path, packed.getvalue())
    assert (reply.status_code, "(TMPDIR)" in reply.json()["detail"]) == (507, True)
    assert await contents(filled) == before


@pytest.mark.parametrize("path", PATHS)
async def test_an_upload_without_a_folder_for_temporary_files(
    client: Client, database: Database, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/proc/nothing")
    reply = await post(client, path, avro_file(JOBS, []))
    assert (reply.status_code, "(TMPDIR)" in reply.json()["detail"]) == (507, True)
    assert "/proc" not in reply.text


async def test_a_folder_of_backups_that_cannot_be_used(migrated: Settings) -> None:
    nowhere = msgspec.structs.replace(migrated, backup_dir=Path("/proc/backups"))
    async with calling(nowhere) as client:
        reply = await client.post("/avro/backup")
        assert (await client.get("/avro/backups")).json() == {"backups": []}
    assert reply.status_code == 507
    assert "BACKUP_DIR" in reply.json()["detail"]
    assert "/proc" not in reply.text


@pytest.mark.parametrize("size", [0, 1, 500, 1500])
async def test_a_backup_to_a_full_disk_leaves_nothing(
    migrated: Settings, filled: Database, tmp_path: Path, size: int
) -> None:
    async with calling(msgspec.structs.replace(migrated, backup_dir=tmp_path)) as client:
        with little_room(size):
            reply = await client.post("/avro/backup")
        assert (reply.status_code, "BACKUP_DIR" in reply.json()["detail"]) == (507, True)
        assert not any(tmp_path.iterdir())  # noqa: ASYNC240 - a folder of this test
        assert (await client.post("/avro/backup")).status_code == 201
