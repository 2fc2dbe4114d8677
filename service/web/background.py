"""Tasks in the background: repeated for as long as the service runs, whatever goes wrong."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from service.core.errors import ContentionError, UnavailableError

log = logging.getLogger("hirebase.web")
CANCEL_SECONDS = 0.1


async def repeat(what: str, seconds: float, work: Callable[[], Awaitable[bool]]) -> None:
    """Do `work` every so many seconds, and again at once where it answers True.

    An error is logged, an unexpected one with its traceback, and `work` is tried again.
    """
    while True:
        again = False
        try:
            again = await work()
        except (ContentionError, UnavailableError) as error:
            log.warning("%s: %s", what, error)
        except Exception:  # nobody awaits the task: it would end without a word
            log.exception("%s failed and is tried again in %g s", what, seconds)
        await asyncio.sleep(0 if again else seconds)


@asynccontextmanager
async def running(*tasks: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Tasks from here on; at the end they are cancelled."""
    started = [asyncio.create_task(task) for task in tasks]
    try:
        yield
    finally:
        # Once is not always enough: until Python 3.12, wait_for, which the driver connects with,
        # swallows a cancellation that comes just as it is done.
        while left := [task for task in started if not task.done()]:
            for task in left:
                task.cancel()
            await asyncio.wait(left, timeout=CANCEL_SECONDS)
