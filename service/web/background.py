"""Background tasks. They repeat while the service runs, and survive errors."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from service.core.errors import ContentionError, UnavailableError

log = logging.getLogger("hirebase.web")
CANCEL_SECONDS = 0.1


async def repeat(what: str, seconds: float, work: Callable[[], Awaitable[bool | None]]) -> None:
    """Call `work` every `seconds`, or immediately again if it returns True.

    Errors are logged, unexpected ones with a traceback, and the next call follows.
    """
    while True:
        more: bool | None = False
        try:
            more = await work()
        except (ContentionError, UnavailableError) as error:
            log.warning("%s: %s", what, error)
        except Exception:  # nothing awaits the task, so it would end silently
            log.exception("%s failed. Next try in %g s.", what, seconds)
        await asyncio.sleep(0 if more else seconds)


@asynccontextmanager
async def running(*tasks: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run tasks in the background; cancel them at the end of the block."""
    started = [asyncio.create_task(task) for task in tasks]
    try:
        yield
    finally:
        # Repeat: before Python 3.12, wait_for, which the driver uses to connect, can lose a
        # cancellation that arrives when its work is done.
        while left := [task for task in started if not task.done()]:
            for task in left:
                task.cancel()
            await asyncio.wait(left, timeout=CANCEL_SECONDS)
