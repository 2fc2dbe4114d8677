"""Threads that end before their caller continues: a thread cannot be cancelled."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

T = TypeVar("T")


async def in_thread(work: Callable[..., T], *args: Any) -> T:
    """Run `work(*args)` in a thread; a cancelled caller waits until the thread has ended.

    Until then, the thread uses its arguments: a file, a generator or a folder.
    """
    context = contextvars.copy_context()
    call = partial(context.run, work, *args)
    # A future, not a task: asyncio.run cancels all tasks at its end, but not the thread.
    future = asyncio.get_running_loop().run_in_executor(None, call)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        await wait_for_all(future)
        raise


async def wait_for_all(*futures: asyncio.Future[Any]) -> None:
    """Wait until all futures are done; if cancelled meanwhile, raise CancelledError afterwards.

    Errors of the futures are not raised here, but where their results are read.
    """
    cancelled: asyncio.CancelledError | None = None
    while pending := [future for future in futures if not future.done()]:
        try:
            await asyncio.wait(pending)
        except asyncio.CancelledError as error:
            cancelled = error
    for future in futures:
        if not future.cancelled():
            future.exception()  # read it, because asyncio logs exceptions that are never read
    if cancelled:
        raise cancelled
