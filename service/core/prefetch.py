"""Work one step ahead: while an item is used, the next one is under way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import TypeVar

from service.core.threads import ended

T = TypeVar("T")

BUFFERED_PIECES = 2
"""So many pieces wait for whoever takes them; then their source waits."""


async def prefetch(step: Callable[[], Awaitable[T | None]]) -> AsyncGenerator[T]:
    """What `step` gives, until it gives None; closing this ends the step under way first."""
    coming = asyncio.ensure_future(step())
    try:
        while (item := await coming) is not None:
            coming = asyncio.ensure_future(step())
            yield item
    finally:
        coming.cancel()
        await ended(coming)


async def buffered(source: AsyncGenerator[bytes], patience: float) -> AsyncGenerator[bytes]:
    """What `source` gives, run in a task of its own: whatever task asks, deadlines hold,

    and closing this ends the source at once, wherever it waits. So does taking nothing for
    `patience` seconds; whoever comes back after that gets a TimeoutError.
    """
    queue: asyncio.Queue[bytes | Exception | None] = asyncio.Queue(BUFFERED_PIECES)
    task = asyncio.create_task(_fill(source, queue, patience))
    try:
        while (item := await queue.get()) is not None:
            if isinstance(item, Exception):
                raise item
            yield item
    finally:
        task.cancel()
        await ended(task)


async def _fill(
    source: AsyncGenerator[bytes], queue: asyncio.Queue[bytes | Exception | None], patience: float
) -> None:
    try:
        async with aclosing(source):
            async for piece in source:
                async with asyncio.timeout(patience):
                    await queue.put(piece)
    except Exception as error:  # whatever it is, it is raised where the pieces are taken
        # Nobody may be there to make room.
        if queue.full():
            queue.get_nowait()
        queue.put_nowait(error)
    else:
        await queue.put(None)
