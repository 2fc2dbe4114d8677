"""Threads end before their caller continues, even if it is cancelled."""

from __future__ import annotations

import asyncio
import contextvars
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import aclosing
from functools import partial

import pytest

from service.core.ordered import Ids, Job, in_order
from service.core.prefetch import buffered, prefetch
from service.core.threads import in_thread, wait_for_all

SECONDS = 0.1
NAME = contextvars.ContextVar("NAME", default="")


class Resource:
    """A resource that only the thread may use while it runs."""

    def __init__(self) -> None:
        self.started = self.ended = 0

    def use(self, _: object = None) -> int:
        self.started += 1
        time.sleep(SECONDS)
        self.ended += 1
        return self.ended

    def uses(self) -> Iterator[int]:
        while True:
            yield self.use()

    @property
    def in_use(self) -> bool:
        return self.started != self.ended


async def _directly(resource: Resource) -> None:
    await in_thread(resource.use)


async def _prefetched(resource: Resource) -> None:
    async with aclosing(prefetch(lambda: in_thread(resource.use))) as items:
        async for _ in items:
            await asyncio.sleep(0)


async def _buffered(resource: Resource) -> None:
    async def source() -> AsyncGenerator[bytes]:
        uses = resource.uses()
        while await in_thread(next, uses):
            yield b"x"

    async with aclosing(buffered(source(), 5)) as chunks:
        async for _ in chunks:
            await asyncio.sleep(0)


async def _produced_in_order(resource: Resource) -> None:
    async def jobs() -> AsyncGenerator[Job[None]]:
        uses = resource.uses()
        while number := await in_thread(next, uses):
            yield Job(Ids([(number,)]), partial(asyncio.sleep, 5))

    async with aclosing(in_order(jobs(), 3)) as results:
        async for _ in results:
            pass


async def _worked_in_order(resource: Resource) -> None:
    async def jobs() -> AsyncGenerator[Job[int]]:
        for number in range(5):
            yield Job(Ids([(number,)]), partial(in_thread, resource.use))

    async with aclosing(in_order(jobs(), 3)) as results:
        async for _ in results:
            pass


USES = [_directly, _prefetched, _buffered, _produced_in_order, _worked_in_order]
Use = Callable[[Resource], Awaitable[None]]


async def _started(resource: Resource, use: Use) -> asyncio.Task[None]:
    task = asyncio.ensure_future(use(resource))
    for _ in range(1000):
        if resource.in_use:
            return task
        await asyncio.sleep(0.005)
    raise TimeoutError


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("use", USES)
async def test_a_cancelled_caller_continues_after_the_thread_has_ended(
    use: Use, times: int
) -> None:
    resource = Resource()
    task = await _started(resource, use)
    for _ in range(times):
        task.cancel()
        await asyncio.sleep(0.01)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not resource.in_use


@pytest.mark.parametrize("use", USES)
async def test_a_deadline_waits_for_the_thread_and_raises_timeout_error(use: Use) -> None:
    resource = Resource()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(SECONDS / 2):
            await use(resource)
    assert not resource.in_use


@pytest.mark.parametrize("use", USES)
def test_the_end_of_the_event_loop_waits_for_the_thread(use: Use) -> None:
    resource, seen = Resource(), list[bool]()

    async def watched() -> None:
        try:
            await use(resource)
        finally:
            seen.append(resource.in_use)

    async def main() -> None:
        task = await _started(resource, lambda _: watched())
        assert not task.done()

    asyncio.run(main())
    assert seen == [False]


async def test_results_errors_and_context_variables_are_passed_on() -> None:
    NAME.set("outer")
    assert await in_thread(NAME.get) == "outer"
    assert await in_thread(max, 1, 2) == 2
    with pytest.raises(ZeroDivisionError):
        await in_thread(divmod, 1, 0)


async def test_the_error_of_an_abandoned_thread_is_not_logged() -> None:
    def fails() -> None:
        time.sleep(SECONDS)
        raise OSError

    task = asyncio.ensure_future(in_thread(fails))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_all_futures_are_done_even_if_one_fails() -> None:
    async def fail() -> None:
        raise OSError

    futures = [asyncio.ensure_future(fail()), asyncio.ensure_future(asyncio.sleep(0.05))]
    await wait_for_all(*futures)
    assert all(future.done() for future in futures)
    await wait_for_all()
