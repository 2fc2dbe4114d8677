"""Streams over a real socket: errors abort the transfer, leaving clients free the connection."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import msgspec
import pytest
import uvicorn

from service.core.backups import backup
from service.core.backups import pages as paging
from service.core.backups.pages import Page
from service.core.database.transactions import Database
from service.core.rules.avro_records import validate
from service.core.settings import Settings, Size
from service.web.app import create_app
from tests.support.backup_files import JOBS, records, unannounced
from tests.support.processes import free_port

ROWS = 200


@pytest.fixture
async def filled(database: Database, monkeypatch: pytest.MonkeyPatch) -> Database:
    monkeypatch.setattr(paging, "PAGE", 1)
    async with database.transaction() as transaction:
        await transaction.insert(
            JOBS.sql["insert_with_id"], validate(JOBS, records(JOBS, ROWS)).rows
        )
    return database


@asynccontextmanager
async def served(settings: Settings) -> AsyncIterator[tuple[httpx.AsyncClient, Any]]:
    """(a client over a socket, the pool behind the service)."""
    app, port = create_app(settings), free_port()
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="critical", lifespan="on"))
    running = asyncio.create_task(server.serve())
    await until(lambda: server.started)
    async with httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{port}",
        auth=(settings.api_user, settings.api_pass),
        trust_env=False,
    ) as client:
        yield client, app.state.database.pool
    server.should_exit = True
    await running


async def until(met: Callable[[], bool]) -> None:
    """Wait for a condition that has no event."""
    for _ in range(1000):
        if met():
            return
        await asyncio.sleep(0.01)
    raise TimeoutError


def slowly(monkeypatch: pytest.MonkeyPatch, fail_after: int = ROWS) -> None:
    """Make pages slow, and fail at one of them."""
    encode, pages = backup._rows, iter(range(ROWS + 1))

    def rows(writer: Any, page: Page) -> Any:
        time.sleep(0.02)
        if next(pages) >= fail_after:
            raise RuntimeError("as if the disk were full")
        return encode(writer, page)

    monkeypatch.setattr(backup, "_rows", rows)


@pytest.mark.parametrize("table", ["jobs", "all"])
async def test_a_client_that_leaves_frees_the_connection_within_a_second(
    filled: Database, migrated: Settings, monkeypatch: pytest.MonkeyPatch, table: str
) -> None:
    slowly(monkeypatch)
    async with served(migrated) as (client, pool):
        async with client.stream("GET", f"/avro/backup/{table}") as reply:
            await anext(reply.aiter_bytes())
            # A background task may use another one for a moment.
            await until(lambda: pool.size - pool.freesize == 1)
        left = time.perf_counter()
        await until(lambda: pool.size == pool.freesize)
        assert time.perf_counter() - left < 1
        assert (await client.get("/health/ready")).status_code == 200


@pytest.mark.parametrize("table", ["jobs", "all"])
async def test_an_error_in_mid_stream_aborts_the_transfer(
    filled: Database, migrated: Settings, monkeypatch: pytest.MonkeyPatch, table: str
) -> None:
    slowly(monkeypatch, fail_after=5)
    async with served(migrated) as (client, pool):
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get(f"/avro/backup/{table}")
        aborted = time.perf_counter()
        await until(lambda: pool.size == pool.freesize)
        assert time.perf_counter() - aborted < 1


async def test_other_requests_are_answered_while_a_page_is_encoded(
    filled: Database, migrated: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode, begun, answered = backup._rows, threading.Event(), threading.Event()

    def rows(writer: Any, page: Page) -> Any:
        begun.set()
        assert answered.wait(20), "nothing was answered meanwhile"
        return encode(writer, page)

    monkeypatch.setattr(backup, "_rows", rows)
    async with served(migrated) as (client, _):
        backing_up = asyncio.create_task(client.get("/avro/backup/jobs"))
        await until(begun.is_set)
        for _ in range(50):
            assert (await client.get("/health/live")).status_code == 200
        answered.set()
        assert (await backing_up).status_code == 200


async def test_an_upload_that_is_too_large_is_stopped(
    database: Database, migrated: Settings
) -> None:
    limit = Size.parse("100K")
    async with served(msgspec.structs.replace(migrated, api_max_upload=limit)) as (client, _):
        fits = await client.post("/avro/verify", content=bytes(limit))
        assert fits.status_code == 422
        for body in (bytes(limit + 1), unannounced()):
            reply = await client.post("/avro/verify", content=body)
            assert (reply.status_code, "API_MAX_UPLOAD" in reply.text) == (413, True)
