"""Jobs of the console on several replicas: one runs a job, each can show it and resume it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import httpx
import msgspec
import pytest

from service.core.database.connect import connect
from service.core.database.transactions import Database
from service.core.settings import Settings
from service.core.writes import ingest
from service.web.console import jobs as jobs_module
from service.web.console import runs as runs_module
from service.web.console.jobs import SILENT_SECONDS, STOPPED, Job, Jobs
from service.web.console.runs import HEARTBEAT_SECONDS, Runs
from tests.conftest import USER, calling
from tests.support import engine
from tests.support.console import (
    HTML,
    age_jobs,
    events,
    failing_after,
    page,
    preview,
    run,
    update_jobs,
)
from tests.support.hires import count
from tests.support.tcp_proxy import Proxy
from tests.support.waiting import until


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
    job = await preview(one, "j.ndjson", b'{"job": "A"}\n')
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
    job = await preview(one, "j.ndjson", b'{"job": "A"}\n')
    await update_jobs(database, "state = 'running', run = 'lost', preview = FALSE")
    assert (await other.post(f"/console/jobs/{job}/confirm", json={})).status_code == 409
    await age_jobs(database, SILENT_SECONDS + 1)
    assert "The service stopped" in await page(other, job)
    await run(other, f"/console/jobs/{job}/confirm", json={})
    assert (await events(one, job))[-1]["state"] == "done"
    assert await count(database, "jobs") == 1


async def test_a_run_stops_and_writes_nothing_after_another_run_claimed_its_job(
    client: httpx.AsyncClient, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    async def has_noticed() -> bool:
        return "another run has claimed it, this run stops" in caplog.text

    job = await preview(client, "j.csv", b"1,Clerk\n")
    with suppress(Rollback):
        async with database.transaction(60) as blocking:
            await blocking.execute("INSERT INTO jobs (id, job) VALUES (1, 'Mine')")
            reply = await client.post(f"/console/jobs/{job}/confirm", json={})
            assert reply.status_code == 201
            await update_jobs(database, "run = 'of another'")
            await until(has_noticed, 30)
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

    async def beats() -> int:
        return int((await database.fetch("SELECT beats FROM console_jobs"))[0][0])

    async def has_failed() -> bool:
        return "the heartbeat" in caplog.text

    async def has_continued() -> bool:
        return await beats() > before

    async def failing(jobs: Jobs, job: Job) -> bool:
        if broken.pop() if broken else False:
            raise ValueError("unexpected")
        return await heartbeat(jobs, job)

    monkeypatch.setattr(Jobs, "heartbeat", failing)
    job = await preview(client, "j.csv", b"1,Clerk\n")
    with suppress(Rollback):
        async with database.transaction(60) as blocking:
            await blocking.execute("INSERT INTO jobs (id, job) VALUES (1, 'Mine')")
            await client.post(f"/console/jobs/{job}/confirm", json={})
            await until(has_failed, 30)
            before = await beats()
            await until(has_continued, 30)
            raise Rollback
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


async def test_many_pages_that_follow_a_job_share_its_queries(
    client: httpx.AsyncClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary, asked = Jobs.summary, list[str]()

    async def is_asked_again() -> bool:
        return len(asked) > pages + seconds

    async def counted(jobs: Jobs, job_id: str) -> dict[str, object]:
        asked.append(job_id)
        return await summary(jobs, job_id)

    job = await preview(client, "j.csv", b"1,Clerk\n")
    monkeypatch.setattr(Jobs, "summary", counted)
    pages, seconds = 20, 3
    with suppress(Rollback):
        async with database.transaction(60) as blocking:
            await blocking.execute("INSERT INTO jobs (id, job) VALUES (1, 'Mine')")
            await client.post(f"/console/jobs/{job}/confirm", json={})
            following = [asyncio.create_task(events(client, job)) for _ in range(pages)]
            await asyncio.sleep(seconds)
            await until(is_asked_again, 30)
            following[0].cancel()
            raise Rollback
    ends = [found[-1]["state"] for found in await asyncio.gather(*following[1:])]
    assert set(ends) == {"done"}
    assert len(asked) < 3 * pages


async def test_a_load_that_fails_and_runs_again_counts_its_rows_once(
    client: httpx.AsyncClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = b"".join(b'{"job": "Clerk %d"}\n' % number for number in range(1500))
    job = await preview(client, "j.ndjson", body)
    with monkeypatch.context() as patch:
        patch.setattr(ingest, "ingest", failing_after(1, ingest.ingest))
        await run(client, f"/console/jobs/{job}/confirm", json={})
    assert await count(database, "jobs") == 1000
    await run(client, f"/console/jobs/{job}/confirm", json={})
    assert await count(database, "jobs") == 1500
    metrics = (await client.get("/metrics")).text
    assert 'loader_rows_total{outcome="added",table="jobs"} 1500.0' in metrics


async def test_no_job_is_lost_while_the_database_is_not_available(
    migrated: Settings, database: Database, proxy: Proxy
) -> None:
    over = msgspec.structs.replace(engine.through(proxy, migrated), mysql_timeout=3)
    async with calling(over) as client:
        job = await preview(client, "j.csv", b"1,Clerk\n")
        with suppress(Rollback):
            async with database.transaction(60) as blocking:
                await blocking.execute("INSERT INTO jobs (id, job) VALUES (1, 'Mine')")
                await client.post(f"/console/jobs/{job}/confirm", json={})
                following = asyncio.create_task(events(client, job))
                await asyncio.sleep(1)
                proxy.refusing = True
                proxy.cut()
                overview = await client.get("/", headers=HTML)
                assert (overview.status_code, "Check that the database" in overview.text) == (
                    200,
                    True,
                )
                assert (await client.get(f"/console/jobs/{job}")).status_code == 503
                await asyncio.sleep(HEARTBEAT_SECONDS + 1)
                proxy.refusing = False
                raise Rollback
        assert (await following)[-1]["state"] == "done"
    assert await count(database, "jobs") == 1


async def test_a_service_that_stops_marks_its_jobs_as_failed(
    migrated: Settings, database: Database
) -> None:
    async with calling(migrated) as client, database.transaction(60) as blocking:
        job = await preview(client, "j.csv", b"1,Clerk\n")
        await blocking.execute("INSERT INTO jobs (id, job) VALUES (1, 'Mine')")
        await client.post(f"/console/jobs/{job}/confirm", json={})
    found = await database.fetch("SELECT state, message FROM console_jobs")
    assert found == [("failed", STOPPED)]
