"""Jobs of the console over several replicas: one runs a job, any follows and finishes it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import msgspec
import pytest

from service.core.database.transactions import Database
from service.core.settings import Settings
from service.web.console.jobs import KEPT_SECONDS, SILENT_SECONDS, STOPPED, Job, Jobs
from service.web.console.runs import BEAT_SECONDS
from tests.conftest import calling
from tests.integration.console.test_console import HTML, begun, ended, shown
from tests.support import engine
from tests.support.hires import count
from tests.support.tcp_proxy import Wire


@pytest.fixture
async def replicas(
    migrated: Settings, database: Database
) -> AsyncIterator[tuple[httpx.AsyncClient, httpx.AsyncClient]]:
    """Two applications on one database."""
    async with calling(migrated) as one, calling(migrated) as other:
        yield one, other


async def test_a_job_that_is_confirmed_several_times_at_once_runs_once(
    replicas: tuple[httpx.AsyncClient, httpx.AsyncClient], database: Database
) -> None:
    one, other = replicas
    job = await begun(one, "/console/loads?table=jobs&name=j.ndjson", content=b'{"job": "A"}\n')
    replies = await asyncio.gather(
        *(
            client.post(f"/console/jobs/{job}/confirm", json={})
            for client in (one, other, one, other)
        )
    )
    assert sorted(reply.status_code for reply in replies) == [201, 409, 409, 409]
    assert (await ended(other, job))[-1]["state"] == "done"
    assert await count(database, "jobs") == 1


async def test_what_lost_its_process_is_finished_by_another_replica(
    replicas: tuple[httpx.AsyncClient, httpx.AsyncClient], database: Database
) -> None:
    one, other = replicas
    job = await begun(one, "/console/loads?table=jobs&name=j.ndjson", content=b'{"job": "A"}\n')
    await _update(database, "state = 'running', run = 'lost', preview = FALSE")
    assert (await other.post(f"/console/jobs/{job}/confirm", json={})).status_code == 409
    await _age(database, SILENT_SECONDS + 1)
    assert "The service stopped" in await shown(other, job)
    await begun(other, f"/console/jobs/{job}/confirm", json={})
    assert (await ended(one, job))[-1]["state"] == "done"
    assert await count(database, "jobs") == 1


async def test_a_run_that_lost_its_job_stops_and_writes_no_more(
    client: httpx.AsyncClient, database: Database
) -> None:
    job = await begun(client, "/console/loads?table=jobs&name=j.csv", content=b"1,Clerk\n")
    with suppress(Undone):
        async with database.transaction(60) as blocking:
            await blocking.execute("INSERT INTO jobs (id, job) VALUES (1, 'Mine')")
            reply = await client.post(f"/console/jobs/{job}/confirm", json={})
            assert reply.status_code == 201
            await _update(database, "run = 'of another'")
            await asyncio.sleep(2 * BEAT_SECONDS)
            raise Undone
    await asyncio.sleep(BEAT_SECONDS)
    found = await database.fetch("SELECT state, run, message, result FROM console_jobs")
    assert found == [("running", "of another", "", "{}")]
    assert await count(database, "jobs") == 0


class Undone(Exception):
    """Ends a transaction."""


async def test_a_heartbeat_that_fails_unexpectedly_goes_on(
    client: httpx.AsyncClient,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    beat, broken = Jobs.beat, [True]

    async def failing(jobs: Jobs, job: Job) -> bool:
        if broken.pop() if broken else False:
            raise ValueError("unexpected")
        return await beat(jobs, job)

    monkeypatch.setattr(Jobs, "beat", failing)
    job = await begun(client, "/console/loads?table=jobs&name=j.csv", content=b"1,Clerk\n")
    with suppress(Undone):
        async with database.transaction(60) as blocking:
            await blocking.execute("INSERT INTO jobs (id, job) VALUES (1, 'Mine')")
            await client.post(f"/console/jobs/{job}/confirm", json={})
            await asyncio.sleep(BEAT_SECONDS + 2)
            assert await database.fetch("SELECT beats > 0 FROM console_jobs") == [(1,)]
            raise Undone
    assert "the heartbeat" in caplog.text
    assert (await ended(client, job))[-1]["state"] == "done"


async def test_a_database_that_is_away_for_a_while_loses_no_job(
    migrated: Settings, database: Database, wire: Wire
) -> None:
    over = msgspec.structs.replace(engine.over(wire, migrated), mysql_timeout=3)
    async with calling(over) as client:
        job = await begun(client, "/console/loads?table=jobs&name=j.csv", content=b"1,Clerk\n")
        with suppress(Undone):
            async with database.transaction(60) as blocking:
                await blocking.execute("INSERT INTO jobs (id, job) VALUES (1, 'Mine')")
                await client.post(f"/console/jobs/{job}/confirm", json={})
                following = asyncio.create_task(ended(client, job))
                await asyncio.sleep(1)
                wire.refusing = True
                wire.cut()
                overview = await client.get("/", headers=HTML)
                assert (overview.status_code, "See that the database" in overview.text) == (
                    200,
                    True,
                )
                assert (await client.get(f"/console/jobs/{job}")).status_code == 503
                await asyncio.sleep(BEAT_SECONDS + 1)
                wire.refusing = False
                raise Undone
        assert (await following)[-1]["state"] == "done"
    assert await count(database, "jobs") == 1


async def test_a_service_that_stops_says_so_at_once(migrated: Settings, database: Database) -> None:
    async with calling(migrated) as client, database.transaction(60) as blocking:
        job = await begun(client, "/console/loads?table=jobs&name=j.csv", content=b"1,Clerk\n")
        await blocking.execute("INSERT INTO jobs (id, job) VALUES (1, 'Mine')")
        await client.post(f"/console/jobs/{job}/confirm", json={})
    found = await database.fetch("SELECT state, message FROM console_jobs")
    assert found == [("failed", STOPPED)]


async def test_a_replica_without_the_file_says_so_and_another_finishes(
    migrated: Settings, database: Database, tmp_path: Path
) -> None:
    elsewhere = msgspec.structs.replace(migrated, rejects_dir=tmp_path)
    async with calling(migrated) as one, calling(elsewhere) as other:
        job = await begun(one, "/console/loads?table=jobs&name=j.csv", content=b"1,A\n2,\n")
        refused = await other.post(f"/console/jobs/{job}/confirm", json={})
        assert (refused.status_code, "REJECTS_DIR" in refused.text) == (507, True)
        await begun(one, f"/console/jobs/{job}/confirm", json={})
        assert (await one.get(f"/console/jobs/{job}/rejects")).status_code == 200
        assert (await other.get(f"/console/jobs/{job}/rejects")).status_code == 507


async def test_what_is_older_than_a_day_goes_and_nothing_else(
    migrated: Settings, client: httpx.AsyncClient, database: Database
) -> None:
    folder = migrated.rejects_dir / ".console"
    upload = "/console/loads?table=jobs&name=j.csv"
    old = await begun(client, upload, content=b"1,Clerk\n")
    await _age(database, KEPT_SECONDS + 1)
    kept = await begun(client, upload, content=b"1,Clerk\n")
    old_stray, new_stray, other = folder / ("a" * 16), folder / ("b" * 16), folder / "not-ours"
    long_ago = time.time() - KEPT_SECONDS - 60
    for path in (old_stray, new_stray, other):
        path.mkdir(exist_ok=True)
    for path in (old_stray, other, folder / kept):
        os.utime(path, (long_ago, long_ago))
    jobs = Jobs(database, folder)
    await asyncio.gather(jobs.tidy(), jobs.tidy())
    assert (await client.get(f"/console/jobs/{old}")).status_code == 404
    assert (await client.get(f"/console/jobs/{kept}")).status_code == 200
    there = [path.exists() for path in (folder / old, old_stray)]
    left = [path.exists() for path in (folder / kept, new_stray, other)]
    assert (there, left) == ([False] * 2, [True] * 3)


async def test_an_upload_that_cannot_be_kept_is_507_and_leaves_nothing(
    migrated: Settings, database: Database, tmp_path: Path
) -> None:
    (tmp_path / ".console").write_bytes(b"")
    elsewhere = msgspec.structs.replace(migrated, rejects_dir=tmp_path)
    async with calling(elsewhere) as client:
        reply = await client.post("/console/loads?table=jobs&name=j.csv", content=b"1,A\n")
    assert (reply.status_code, "REJECTS_DIR" in reply.text) == (507, True)
    assert str(tmp_path) not in reply.text
    assert await count(database, "console_jobs") == 0


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", tmp_path], check=False)
    if made.returncode:
        pytest.skip("mounting a file system needs rights")
    yield tmp_path
    subprocess.run(["umount", "--lazy", tmp_path], check=True)


async def test_a_disk_that_fills_in_an_upload_is_507_and_leaves_no_folder(
    migrated: Settings, database: Database, tiny_disk: Path
) -> None:
    upload = "/console/loads?table=jobs&name=j.csv"
    async with calling(msgspec.structs.replace(migrated, rejects_dir=tiny_disk)) as client:
        reply = await client.post(upload, content=b"1,Clerk\n" * (1 << 18))
        assert (reply.status_code, "No space left" in reply.text) == (507, True)
        assert list((tiny_disk / ".console").iterdir()) == []
        await begun(client, upload, content=b"1,Clerk\n")


async def _update(database: Database, what: str) -> None:
    async with database.transaction() as transaction:
        await transaction.execute(f"UPDATE console_jobs SET {what}")


async def _age(database: Database, seconds: int) -> None:
    """Jobs as if so much time had passed."""
    await _update(
        database, f"heartbeat_at = DATE_SUB(CURRENT_TIMESTAMP(6), INTERVAL {seconds} SECOND)"
    )
