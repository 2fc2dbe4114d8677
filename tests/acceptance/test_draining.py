"""SIGTERM: the service says that it is not ready, answers for a while, and ends without a loss."""

from __future__ import annotations

import asyncio
import signal
import time
from contextlib import suppress
from functools import partial

import pytest

from service.core.database.transactions import Database
from service.core.settings import Settings
from tests.support.hires import add_parents, count
from tests.support.load import Line, batch, request, started
from tests.support.waiting import until

DELAY = 3
READY, LIVE = request("GET", "/health/ready"), request("GET", "/health/live")
ROWS = 50


async def status(port: int, message: bytes) -> int | None:
    """The status of a reply over a new connection; None if there is none."""
    line = Line(port)
    with suppress(OSError, EOFError):
        return (await line.send(message)).status
    return None


async def is_unready(port: int) -> bool:
    return await status(port, READY) == 503


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_it_is_not_ready_at_once_and_answers_until_the_delay_is_over(
    migrated: Settings, database: Database, workers: str
) -> None:
    await add_parents(database, range(1, 13))
    service = await started(migrated, "--workers", workers, API_SHUTDOWN_DELAY=str(DELAY))
    idle, message = Line(service.port), request("POST", "/employees", batch(ROWS))
    kept = await idle.send(READY)
    ending = asyncio.create_task(service.end(signal.SIGTERM))
    began = time.monotonic()
    await until(partial(is_unready, service.port), DELAY / 2)
    statuses = [await status(service.port, READY) for _ in range(6)]
    live, written = await status(service.port, LIVE), await status(service.port, message)
    last = await idle.send(message)
    ended = await ending
    assert statuses == [503] * 6
    assert (live, written, last.status) == (200, 201, 201)
    assert "connection" not in kept.headers
    assert last.headers["connection"] == "close"
    assert (ended.code, "Traceback" in ended.err) == (0, False)
    assert DELAY < time.monotonic() - began < DELAY + 10
    assert await count(database, "hired_employees") == 2 * ROWS


async def test_the_reply_that_is_not_ready_says_what_to_do(migrated: Settings) -> None:
    service = await started(migrated, API_SHUTDOWN_DELAY="2")
    ending = asyncio.create_task(service.end(signal.SIGTERM))
    await until(partial(is_unready, service.port), 2)
    reply = await Line(service.port).send(READY)
    await ending
    assert reply.sheds
    assert b"The service is shutting down. Use another replica" in reply.body


@pytest.mark.parametrize(
    ("how", "delay"), [(signal.SIGTERM, "0"), (signal.SIGINT, "60")], ids=["default", "interrupt"]
)
async def test_it_ends_at_once_without_a_delay_and_at_an_interrupt(
    migrated: Settings, how: signal.Signals, delay: str
) -> None:
    service = await started(migrated, API_SHUTDOWN_DELAY=delay)
    began = time.monotonic()
    assert (await service.end(how)).code == 0
    assert time.monotonic() - began < 10


async def test_an_interrupt_ends_the_delay(migrated: Settings) -> None:
    service = await started(migrated, API_SHUTDOWN_DELAY="60")
    began = time.monotonic()
    ending = asyncio.create_task(service.end(signal.SIGTERM))
    await asyncio.sleep(0.5)
    service._process.send_signal(signal.SIGINT)
    assert (await ending).code == 0
    assert time.monotonic() - began < 10
