"""Prefetch: the next item is produced while the current one is used."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import aclosing
from typing import TypeVar

from service.core.threads import in_thread, wait_for_all

T = TypeVar("T")

BUFFERED_CHUNKS = 2
"""The source pauses while this many chunks are in the buffer."""


async def prefetch(step: Callable[[], Awaitable[T | None]]) -> AsyncGenerator[T]:
    """Yield the results of `step` until it returns None; closing waits for the running step."""
    upcoming = asyncio.ensure_future(step())
    try:
        while (item := await upcoming) is not None:
            upcoming = asyncio.ensure_future(step())
            yield item
    finally:
        upcoming.cancel()
        await wait_for_all(upcoming)


def prefetched(items: Iterator[T]) -> AsyncGenerator[T]:
    """The items of an iterator, but for None; one is made in a thread while another is used."""
    return prefetch(lambda: in_thread(next, items, None))


async def buffered(source: AsyncGenerator[bytes], idle_timeout: float) -> AsyncGenerator[bytes]:
    """Yield the chunks of `source`, which runs in one task, so that its deadlines work.

    Closing this generator cancels the source. So does a consumer that takes no chunk for
    `idle_timeout` seconds; it gets a TimeoutError when it continues.
    """
    queue: asyncio.Queue[bytes | Exception | None] = asyncio.Queue(BUFFERED_CHUNKS)
    task = asyncio.create_task(_fill(source, queue, idle_timeout))
    try:
        while (item := await queue.get()) is not None:
            if isinstance(item, Exception):
                raise item
            yield item
    finally:
        task.cancel()
        await wait_for_all(task)


async def _fill(
    source: AsyncGenerator[bytes],
    queue: asyncio.Queue[bytes | Exception | None],
    idle_timeout: float,
) -> None:
    try:
        async with aclosing(source):
            async for chunk in source:
                async with asyncio.timeout(idle_timeout):
                    await queue.put(chunk)
    except Exception as error:  # the consumer raises it
        # Make room, because the consumer may take no further item.
        if queue.full():
            queue.get_nowait()
        queue.put_nowait(error)
    else:
        await queue.put(None)
