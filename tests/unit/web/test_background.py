"""Background tasks survive errors."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest

from service.core.errors import ContentionError, DatabaseError, UnavailableError
from service.web import background
from service.web.background import repeat, running

ENOUGH = 3


def failing(error: BaseException) -> tuple[Callable[[], Awaitable[bool]], asyncio.Event]:
    """Work that fails a few times, and the event of its being done after that."""
    done = asyncio.Event()
    runs = 0

    async def work() -> bool:
        nonlocal runs
        runs += 1
        if runs <= ENOUGH:
            raise error
        done.set()
        return False

    return work, done


async def logged_of(error: Exception, caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """The log of a task that fails ENOUGH times with this error."""
    work, done = failing(error)
    async with running(repeat("counting", 0.001, work)), asyncio.timeout(5):
        await done.wait()
    return [record for record in caplog.records if record.name == background.log.name]


@pytest.mark.parametrize("error", [ZeroDivisionError("by 0"), KeyError("x"), DatabaseError("no")])
async def test_an_unexpected_error_is_logged_and_does_not_end_the_task(
    caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    logged = await logged_of(error, caplog)
    assert [record.levelno for record in logged] == [logging.ERROR] * ENOUGH
    for record in logged:
        assert "counting" in record.getMessage()
        assert record.exc_info
        assert record.exc_info[1] is error


@pytest.mark.parametrize("error", [UnavailableError("away"), ContentionError("locked")])
async def test_an_unavailable_database_is_logged_without_a_traceback(
    caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    logged = await logged_of(error, caplog)
    assert [record.levelno for record in logged] == [logging.WARNING] * ENOUGH
    assert not any(record.exc_info for record in logged)
    assert all(str(error) in record.getMessage() for record in logged)


async def test_work_with_more_to_do_runs_again_immediately() -> None:
    left, done = 1000, asyncio.Event()

    async def work() -> bool:
        nonlocal left
        left -= 1
        if left == 0:
            done.set()
        return left > 0

    async with running(repeat("counting", 60, work)), asyncio.timeout(5):
        await done.wait()


async def test_tasks_have_ended_when_the_block_has() -> None:
    started, ended = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        try:
            started.set()
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.set()

    async def block() -> None:
        async with running(work()):
            await started.wait()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await block()
    assert ended.is_set()


async def test_a_lost_cancellation_is_repeated() -> None:
    started = asyncio.Event()

    async def work() -> bool:
        with suppress(asyncio.CancelledError):
            started.set()
            await asyncio.sleep(60)
        return False

    async with asyncio.timeout(5), running(repeat("counting", 60, work)):
        await started.wait()
