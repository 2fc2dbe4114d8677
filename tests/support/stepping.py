"""A coroutine that is interrupted at one await of its own choosing: the first, the second, …"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator
from functools import partial
from typing import Any

Interrupt = Callable[[Any], Any]
"""Takes what the coroutine awaits, gives what it awaits instead."""
LONGEST = 2000


def cancel(awaited: Any) -> Any:
    """Cancel the task as it begins to wait."""
    _task().cancel()
    return awaited


def cancel_late(awaited: Any) -> Any:
    """Cancel the task when what it waits for has come, before it has noticed."""
    if awaited is None:
        return cancel(awaited)
    task = _task()
    awaited.add_done_callback(lambda _: task.cancel())
    return awaited


def hang(awaited: Any) -> Any:
    """Let it wait for what never comes: its deadline has to end it."""
    if awaited is None:  # it waits for nothing, as sleep(0) does
        return None
    never = asyncio.get_running_loop().create_future()
    never._asyncio_future_blocking = True
    return never


async def every_await(
    work: Callable[[], Coroutine[Any, Any, Any]], interrupt: Interrupt
) -> AsyncIterator[asyncio.Task[Any]]:
    """The ended task for an interrupt at each await in turn, until one ends before its turn."""
    for at in range(1, LONGEST):
        stepped = _Stepped(work(), at, interrupt)
        task = asyncio.create_task(_run(stepped))
        await asyncio.wait([task], timeout=30)
        assert task.done(), f"interrupted at await {at}, it hangs"
        if stepped.taken < at:
            assert task.exception() is None
            return
        yield task
    raise AssertionError("it never ends")


async def _run(work: Awaitable[Any]) -> Any:
    return await work


class _Stepped(Awaitable[Any]):
    def __init__(self, coroutine: Coroutine[Any, Any, Any], at: int, interrupt: Interrupt):
        self._coroutine, self._at, self._interrupt = coroutine, at, interrupt
        self.taken = 0

    def __await__(self) -> Generator[Any, Any, Any]:
        step: Callable[[], Any] = partial(self._coroutine.send, None)
        while True:
            try:
                awaited = step()
            except StopIteration as end:
                return end.value
            self.taken += 1
            if self.taken == self._at:
                awaited = self._interrupt(awaited)
            try:
                yield awaited
                step = partial(self._coroutine.send, None)
            except BaseException as error:
                step = partial(self._coroutine.throw, error)


def _task() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    assert task
    return task
