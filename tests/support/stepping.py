"""Runs a coroutine again and again, and interrupts it at its first await, its second, and so on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator
from functools import partial
from typing import Any

Interrupt = Callable[[Any], Any]
"""Gets what the coroutine awaits; returns what it must await instead."""
MOST_AWAITS = 2000


def cancel(awaited: Any) -> Any:
    """Cancel the task when it begins to wait."""
    _task().cancel()
    return awaited


def cancel_late(awaited: Any) -> Any:
    """Cancel the task when its awaited result is ready, before the task continues."""
    if awaited is None:
        return cancel(awaited)
    task = _task()
    awaited.add_done_callback(lambda _: task.cancel())
    return awaited


def hang(awaited: Any) -> Any:
    """Let the task wait forever, so that its deadline must end it."""
    if awaited is None:  # it only yields, as sleep(0) does
        return None
    never = asyncio.get_running_loop().create_future()
    never._asyncio_future_blocking = True
    return never


async def every_await(
    work: Callable[[], Coroutine[Any, Any, Any]], interrupt: Interrupt
) -> AsyncIterator[asyncio.Task[Any]]:
    """The ended task of each run. The last run ends before its interruption and is not returned."""
    for at in range(1, MOST_AWAITS):
        stepped = _Stepped(work(), at, interrupt)
        task = asyncio.create_task(_run(stepped))
        await asyncio.wait([task], timeout=30)
        assert task.done(), f"it hangs if it is interrupted at await {at}"
        if stepped.awaits < at:
            assert task.exception() is None
            return
        yield task
    raise AssertionError(f"it has more than {MOST_AWAITS} awaits")


async def _run(work: Awaitable[Any]) -> Any:
    return await work


class _Stepped(Awaitable[Any]):
    def __init__(self, coroutine: Coroutine[Any, Any, Any], at: int, interrupt: Interrupt):
        self._coroutine, self._at, self._interrupt = coroutine, at, interrupt
        self.awaits = 0

    def __await__(self) -> Generator[Any, Any, Any]:
        step: Callable[[], Any] = partial(self._coroutine.send, None)
        while True:
            try:
                awaited = step()
            except StopIteration as end:
                return end.value
            self.awaits += 1
            if self.awaits == self._at:
                awaited = self._interrupt(awaited)
            try:
                yield awaited
                step = partial(self._coroutine.send, None)
            except BaseException as error:  # the coroutine gets every exception
                step = partial(self._coroutine.throw, error)


def _task() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    assert task
    return task
