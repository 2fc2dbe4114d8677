"""The files of the console's jobs: the upload, the rejects, and what is deleted after a day."""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import suppress
from pathlib import Path

import httpx
import msgspec
import pytest

from loader.loading.pipeline import Load
from service.core.database.transactions import Database
from service.core.settings import Settings
from service.core.writes import checkpoint
from service.web.console.jobs import KEPT_SECONDS, Jobs
from tests.conftest import calling
from tests.support.console import UPLOAD, age_jobs, events, failing_after, preview, run
from tests.support.hires import count


async def test_a_replica_without_the_file_refuses_the_job_and_another_finishes_it(
    migrated: Settings, database: Database, tmp_path: Path
) -> None:
    elsewhere = msgspec.structs.replace(migrated, rejects_dir=tmp_path)
    async with calling(migrated) as one, calling(elsewhere) as other:
        job = await preview(one, "j.csv", b"1,A\n2,\n")
        refused = await other.post(f"/console/jobs/{job}/confirm", json={})
        assert (refused.status_code, "REJECTS_DIR" in refused.text) == (507, True)
        await run(one, f"/console/jobs/{job}/confirm", json={})
        assert (await one.get(f"/console/jobs/{job}/rejects")).status_code == 200
        assert (await other.get(f"/console/jobs/{job}/rejects")).status_code == 507


async def test_only_jobs_older_than_a_day_are_deleted(
    migrated: Settings, client: httpx.AsyncClient, database: Database
) -> None:
    folder = migrated.rejects_dir / ".console"
    old = await preview(client, "j.csv", b"1,Clerk\n")
    await age_jobs(database, KEPT_SECONDS + 1)
    kept = await preview(client, "j.csv", b"1,Clerk\n")
    old_stray, new_stray, other = (
        folder / ("u" + "a" * 16),
        folder / ("b" * 16),
        folder / "not-ours",
    )
    long_ago = time.time() - KEPT_SECONDS - 60
    for path in (old_stray, new_stray, other):
        path.mkdir(exist_ok=True)
    for path in (old_stray, other, folder / kept):
        os.utime(path, (long_ago, long_ago))
    jobs = Jobs(database, database, folder)
    await asyncio.gather(jobs.tidy(), jobs.tidy())
    assert (await client.get(f"/console/jobs/{old}")).status_code == 404
    assert (await client.get(f"/console/jobs/{kept}")).status_code == 200
    there = [path.exists() for path in (folder / old, old_stray)]
    left = [path.exists() for path in (folder / kept, new_stray, other)]
    assert (there, left) == ([False] * 2, [True] * 3)


async def test_an_upload_that_cannot_be_stored_is_507_and_leaves_nothing(
    migrated: Settings, database: Database, tmp_path: Path
) -> None:
    (tmp_path / ".console").write_bytes(b"")
    elsewhere = msgspec.structs.replace(migrated, rejects_dir=tmp_path)
    async with calling(elsewhere) as client:
        reply = await client.post(UPLOAD, content=b"1,A\n")
    assert (reply.status_code, "REJECTS_DIR" in reply.text) == (507, True)
    assert str(tmp_path) not in reply.text
    assert await count(database, "console_jobs") == 0


async def test_an_old_job_leaves_no_checkpoints(
    migrated: Settings,
    client: httpx.AsyncClient,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    body = b"".join(b"%d,Clerk\n" % number for number in range(1, 40_000))
    job = await preview(client, "j.csv", body)
    other = "INSERT INTO loads (load_key, first_byte, next_byte, first_line, next_line, origin, "
    other += "origin_key) VALUES ('k', 0, 1, 1, 2, '/data/jobs.csv', 'k')"
    with monkeypatch.context() as patch:
        patch.setattr(Load, "_put", failing_after(1, Load._put))
        patch.setattr(checkpoint, "ATTEMPTS", 1)
        await run(client, f"/console/jobs/{job}/confirm", json={})
    async with database.transaction() as transaction:
        await transaction.execute(other)
    assert await count(database, "loads") == 2
    await age_jobs(database, KEPT_SECONDS + 1)
    await Jobs(database, database, migrated.rejects_dir / ".console").tidy()
    assert await database.fetch("SELECT origin FROM loads") == [("/data/jobs.csv",)]


async def test_a_full_disk_during_an_upload_is_507_and_leaves_no_folder(
    migrated: Settings, database: Database, tiny_disk: Path
) -> None:
    async with calling(msgspec.structs.replace(migrated, rejects_dir=tiny_disk)) as client:
        reply = await client.post(UPLOAD, content=b"1,Clerk\n" * (1 << 18))
        assert (reply.status_code, "No space left" in reply.text) == (507, True)
        assert list((tiny_disk / ".console").iterdir()) == []
        await preview(client, "j.csv", b"1,Clerk\n")


@pytest.mark.parametrize(
    ("name", "line", "rows"),
    [("j.csv", b"x,Clerk\n", 3000), ("j.ndjson", b'{"job": " "}\n', 1500)],
)
async def test_a_full_disk_while_rejects_are_written_stops_the_load_and_loses_no_reject(
    migrated: Settings, database: Database, tiny_disk: Path, name: str, line: bytes, rows: int
) -> None:
    async with calling(msgspec.structs.replace(migrated, rejects_dir=tiny_disk)) as client:
        job = await preview(client, name, line * rows)
        filler = _filled(tiny_disk)
        await run(client, f"/console/jobs/{job}/confirm", json={})
        last = (await events(client, job))[-1]
        assert (last["state"], "No space left" in last["message"]) == ("failed", True)
        filler.write_bytes(b"")
        await run(client, f"/console/jobs/{job}/confirm", json={})
        file = (await client.get(f"/console/jobs/{job}/rejects")).text
    assert len(file.splitlines()) == rows + 1
    assert await count(database, "rejects") == rows


def _filled(folder: Path) -> Path:
    """A file that uses all free space."""
    path = folder / "filler"
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"x" * 4096)
    return path
