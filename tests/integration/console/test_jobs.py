"""Jobs of the console on several replicas: one runs a job, each can show it and resume it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from loader.loading import pipeline
from loader.loading.pipeline import Load
from service.core.database.connect import connect
from service.core.database.transactions import Database
from service.core.errors import UnavailableError
from service.core.settings import Settings
from service.core.writes import ingest
from service.web.console import jobs as jobs_module
from service.web.console import runs as runs_module
from service.web.console.jobs import KEPT_SECONDS, SILENT_SECONDS, STOPPED, Job, Jobs
from service.web.console.runs import HEARTBEAT_SECONDS, Runs
from tests.conftest import USER, calling
from tests.support import engine
from tests.support.console import HTML, events, page, run
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
    job = await run(one, "/console/loads?table=jobs&name=j.ndjson", content=b'{"job": "A"}\n')
    replies = await asyncio.gather(
        *(
            client.post(f"/console/jobs/{job}/confirm", json={})
            for client in (one, other, one, other)
        )
    )
    assert sorted(reply.status_code for reply in replies) == [201, 409, 409, 409]
    assert (await events(other, job))[-1]["state"] == "done"
    assert await count(database, "jobs") == 1


@pytest.mark.parametrize(
    "body", [b"", b"null", b"[]", b'{"word": 1}', b"\xff", b'{"word": "\\ud800"}', b"[" * 100_000]
)
async def test_a_body_that_is_not_a_confirmation_is_refused(
    client: httpx.AsyncClient, body: bytes
) -> None:
    reply = await client.post(f"/console/jobs/{'0' * 16}/confirm", content=body)
    assert reply.status_code == 400


async def test_a_job_that_lost_its_process_is_finished_by_another_replica(
    replicas: tuple[httpx.AsyncClient, httpx.AsyncClient], database: Database
) -> None:
    one, other = replicas
    job = await run(one, "/console/loads?table=jobs&name=j.ndjson", content=b'{"job": "A"}\n')
    await _update(database, "state = 'running', run = 'lost', preview = FALSE")
    assert (await other.post(f"/console/jobs/{job}/confirm", json={})).status_code == 409
    await _age(database, SILENT_SECONDS + 1)
    assert "The service stopped" in await page(other, job)
    await run(other, f"/console/jobs/{job}/confirm", json={})
    assert (await events(one, job))[-1]["state"] == "done"
    assert await count(database, "jobs") == 1


async def test_a_run_stops_and_writes_nothing_after_another_run_claimed_its_job(
    client: httpx.AsyncClient, database: Database
) -> None:
    job = await run(client, "/console/loads?table=jobs&name=j.csv", content=b"1,Clerk\n")
    with suppress(Rollback):
        async with database.transaction(60) as blocking:
            await blocking.execute("INSERT INTO jobs (id, job) VALUES (1, 'Mine')")
            reply = await client.post(f"/console/jobs/{job}/confirm", json={})
            assert reply.status_code == 201
            await _update(database, "run = 'of another'")
            await asyncio.sleep(2 * HEARTBEAT_SECONDS)
            raise Rollback
    await asyncio.sleep(HEARTBEAT_SECONDS)
    found = await database.fetch("SELECT state, run, message, result FROM console_jobs")
    assert found == [("running", "of another", "", "{}")]
    assert await count(database, "jobs") == 0


class Rollback(Exception):
    """Rolls a transaction back."""


async def test_heartbeats_continue_after_an_unexpected_error(
    client: httpx.AsyncClient,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    heartbeat, broken = Jobs.heartbeat, [True]

    async def failing(jobs: Jobs, job: Job) -> bool:
        if broken.pop() if broken else False:
            raise ValueError("unexpected")
        return await heartbeat(jobs, job)

    monkeypatch.setattr(Jobs, "heartbeat", failing)
    job = await run(client, "/console/loads?table=jobs&name=j.csv", content=b"1,Clerk\n")
    with suppress(Rollback):
        async with database.transaction(60) as blocking:
            await blocking.execute("INSERT INTO jobs (id, job) VALUES (1, 'Mine')")
            await client.post(f"/console/jobs/{job}/confirm", json={})
            await asyncio.sleep(HEARTBEAT_SECONDS + 2)
            assert await database.fetch("SELECT beats > 0 FROM console_jobs") == [(1,)]
            raise Rollback
    assert "the heartbeat" in caplog.text
    assert (await events(client, job))[-1]["state"] == "done"


async def test_a_job_is_alive_while_its_work_uses_every_connection(
    migrated: Settings,
    database: Database,
    client: httpx.AsyncClient,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(jobs_module, "SILENT_SECONDS", 2)
    monkeypatch.setattr(runs_module, "HEARTBEAT_SECONDS", 0.5)
    small = msgspec.structs.replace(migrated, mysql_pool_size=2)
    async with connect(small) as full, full.reserved() as heartbeats:

        async def work(_job: Job) -> None:
            async with full.transaction(60), full.transaction(60):
                await asyncio.sleep(4)

        runs = Runs(Jobs(full, heartbeats, tmp_path))
        job = Job(kind="load", title="Load", user=USER, role="writer", options={})
        await runs.begin(job, work)
        states = [event["state"] for event in await events(client, job.id)]
        await runs.close()
    assert states == ["running", "done"]


async def test_a_load_that_fails_and_runs_again_counts_its_rows_once(
    client: httpx.AsyncClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = b"".join(b'{"job": "Clerk %d"}\n' % number for number in range(1500))
    job = await run(client, "/console/loads?table=jobs&name=j.ndjson", content=body)
    with monkeypatch.context() as patch:
        patch.setattr(ingest, "ingest", _failing_after(1, ingest.ingest))
        await run(client, f"/console/jobs/{job}/confirm", json={})
    assert await count(database, "jobs") == 1000
    await run(client, f"/console/jobs/{job}/confirm", json={})
    assert await count(database, "jobs") == 1500
    metrics = (await client.get("/metrics")).text
    assert 'loader_rows_total{outcome="added",table="jobs"} 1500.0' in metrics


def _failing_after(calls: int, function: Callable[..., Any]) -> Callable[..., Any]:
    left = iter(range(calls))

    async def failing(*args: Any, **options: Any) -> Any:
        if next(left, None) is None:
            raise UnavailableError("The database is not available.")
        return await function(*args, **options)

    return failing


async def test_no_job_is_lost_while_the_database_is_not_available(
    migrated: Settings, database: Database, wire: Wire
) -> None:
    over = msgspec.structs.replace(engine.over(wire, migrated), mysql_timeout=3)
    async with calling(over) as client:
        job = await run(client, "/console/loads?table=jobs&name=j.csv", content=b"1,Clerk\n")
        with suppress(Rollback):
            async with database.transaction(60) as blocking:
                await blocking.execute("INSERT INTO jobs (id, job) VALUES (1, 'Mine')")
                await client.post(f"/console/jobs/{job}/confirm", json={})
                following = asyncio.create_task(events(client, job))
                await asyncio.sleep(1)
                wire.refusing = True
                wire.cut()
                overview = await client.get("/", headers=HTML)
                assert (overview.status_code, "Check that the database" in overview.text) == (
                    200,
                    True,
                )
                assert (await client.get(f"/console/jobs/{job}")).status_code == 503
                await asyncio.sleep(HEARTBEAT_SECONDS + 1)
                wire.refusing = False
                raise Rollback
        assert (await following)[-1]["state"] == "done"
    assert await count(database, "jobs") == 1


async def test_a_service_that_stops_marks_its_jobs_as_failed(
    migrated: Settings, database: Database
) -> None:
    async with calling(migrated) as client, database.transaction(60) as blocking:
        job = await run(client, "/console/loads?table=jobs&name=j.csv", content=b"1,Clerk\n")
        await blocking.execute("INSERT INTO jobs (id, job) VALUES (1, 'Mine')")
        await client.post(f"/console/jobs/{job}/confirm", json={})
    found = await database.fetch("SELECT state, message FROM console_jobs")
    assert found == [("failed", STOPPED)]


async def test_a_replica_without_the_file_refuses_the_job_and_another_finishes_it(
    migrated: Settings, database: Database, tmp_path: Path
) -> None:
    elsewhere = msgspec.structs.replace(migrated, rejects_dir=tmp_path)
    async with calling(migrated) as one, calling(elsewhere) as other:
        job = await run(one, "/console/loads?table=jobs&name=j.csv", content=b"1,A\n2,\n")
        refused = await other.post(f"/console/jobs/{job}/confirm", json={})
        assert (refused.status_code, "REJECTS_DIR" in refused.text) == (507, True)
        await run(one, f"/console/jobs/{job}/confirm", json={})
        assert (await one.get(f"/console/jobs/{job}/rejects")).status_code == 200
        assert (await other.get(f"/console/jobs/{job}/rejects")).status_code == 507


async def test_only_jobs_older_than_a_day_are_deleted(
    migrated: Settings, client: httpx.AsyncClient, database: Database
) -> None:
    folder = migrated.rejects_dir / ".console"
    upload = "/console/loads?table=jobs&name=j.csv"
    old = await run(client, upload, content=b"1,Clerk\n")
    await _age(database, KEPT_SECONDS + 1)
    kept = await run(client, upload, content=b"1,Clerk\n")
    old_stray, new_stray, other = folder / ("a" * 16), folder / ("b" * 16), folder / "not-ours"
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
        reply = await client.post("/console/loads?table=jobs&name=j.csv", content=b"1,A\n")
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
    job = await run(client, "/console/loads?table=jobs&name=j.csv", content=body)
    other = "INSERT INTO loads (load_key, first_byte, next_byte, first_line, next_line, origin, "
    other += "origin_key) VALUES ('k', 0, 1, 1, 2, '/data/jobs.csv', 'k')"
    with monkeypatch.context() as patch:
        patch.setattr(Load, "_put", _failing_after(1, Load._put))
        patch.setattr(pipeline, "ATTEMPTS", 1)
        await run(client, f"/console/jobs/{job}/confirm", json={})
    async with database.transaction() as transaction:
        await transaction.execute(other)
    assert await count(database, "loads") == 2
    await _age(database, KEPT_SECONDS + 1)
    await Jobs(database, database, migrated.rejects_dir / ".console").tidy()
    assert await database.fetch("SELECT origin FROM loads") == [("/data/jobs.csv",)]


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", tmp_path], check=False)
    if made.returncode:
        pytest.skip("mounting a file system needs root")
    yield tmp_path
    subprocess.run(["umount", "--lazy", tmp_path], check=True)


async def test_a_full_disk_during_an_upload_is_507_and_leaves_no_folder(
    migrated: Settings, database: Database, tiny_disk: Path
) -> None:
    upload = "/console/loads?table=jobs&name=j.csv"
    async with calling(msgspec.structs.replace(migrated, rejects_dir=tiny_disk)) as client:
        reply = await client.post(upload, content=b"1,Clerk\n" * (1 << 18))
        assert (reply.status_code, "No space left" in reply.text) == (507, True)
        assert list((tiny_disk / ".console").iterdir()) == []
        await run(client, upload, content=b"1,Clerk\n")


@pytest.mark.parametrize(
    ("name", "line", "rows"),
    [("j.csv", b"x,Clerk\n", 3000), ("j.ndjson", b'{"job": " "}\n', 1500)],
)
async def test_a_full_disk_while_rejects_are_written_stops_the_load_and_loses_no_reject(
    migrated: Settings, database: Database, tiny_disk: Path, name: str, line: bytes, rows: int
) -> None:
    async with calling(msgspec.structs.replace(migrated, rejects_dir=tiny_disk)) as client:
        upload = f"/console/loads?table=jobs&name={name}"
        job = await run(client, upload, content=line * rows)
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


async def _update(database: Database, assignments: str) -> None:
    async with database.transaction() as transaction:
        await transaction.execute(f"UPDATE console_jobs SET {assignments}")


async def _age(database: Database, seconds: int) -> None:
    """Make the heartbeats of all jobs older."""
    await _update(
        database, f"heartbeat_at = DATE_SUB(CURRENT_TIMESTAMP(6), INTERVAL {seconds} SECOND)"
    )
