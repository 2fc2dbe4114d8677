"""Work in threads that nobody leaves behind: a thread cannot be cancelled, only waited for."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

T = TypeVar("T")


async def in_thread(work: Callable[..., T], *args: Any) -> T:
    """`work(*args)` in a thread; a cancelled caller goes on only when the thread has ended.

    Until then the thread uses what it was given: a file, a generator, a folder.
    """
    context = contextvars.copy_context()
    call = partial(context.run, work, *args)
    # A future, not a task: the end of the event loop cancels tasks, and would leave the thread.
    future = asyncio.get_running_loop().run_in_executor(None, call)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        await ended(future)
        raise


async def ended(*futures: asyncio.Future[Any]) -> None:
    """Wait until all have ended, even if cancelled meanwhile; the CancelledError comes afterwards.

    Their errors are for those who ask for their results.
    """
    cancelled: asyncio.CancelledError | None = None
    while waiting := [future for future in futures if not future.done()]:
        try:
            await asyncio.wait(waiting)
        except asyncio.CancelledError as error:
            cancelled = error
    for future in futures:
        if not future.cancelled():
            future.exception()  # seen: asyncio reports errors that nobody asked for
    if cancelled:
        raise cancelled
