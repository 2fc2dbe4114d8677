"""Retries: work is repeated if the server rolled it back or was lost before COMMIT."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from itertools import count
from typing import TypeVar

from service.core.errors import (
    CommitUnknownError,
    ContentionError,
    NoConnectionError,
    UnavailableError,
)

T = TypeVar("T")

MAX_BACKOFF_SECONDS = 1.0
FAILOVER_SECONDS = 10.0
"""The longest time that work looks for a server after it lost one."""
LOCKED = "Other transactions locked the rows for too long. Try again shortly."


async def repeat(
    once: Callable[[float], Awaitable[T]],
    timeout: float,
    *,
    on_retry: Callable[[], None],
    attempts: int | None = None,
    idempotent: bool = False,
) -> T:
    """Call `once` with the seconds that are left, until it succeeds or cannot be repeated.

    After a ContentionError it is repeated until the deadline, and after an UnavailableError for
    FAILOVER_SECONDS from the first one, because the transaction was rolled back. A
    CommitUnknownError leaves that open, so only an idempotent call is repeated after it.
    """
    clock = asyncio.get_running_loop().time
    end, lost_at = clock() + timeout, 0.0
    error = UnavailableError(LOCKED)
    for attempt in count() if attempts is None else range(attempts):
        try:
            return await once(end - clock())
        except NoConnectionError:
            raise  # it has already waited
        except ContentionError:
            error = UnavailableError(LOCKED)
        except UnavailableError as lost:
            is_unknown = isinstance(lost, CommitUnknownError) and not idempotent
            lost_at = lost_at or clock()
            if is_unknown or clock() - lost_at >= FAILOVER_SECONDS:
                raise
            error = lost
        on_retry()
        pause = backoff(attempt)
        if clock() + pause >= end:
            break
        await asyncio.sleep(pause)
    raise error


def backoff(attempt: int) -> float:
    """Seconds to wait after an attempt (0, 1, 2, …): longer each time, and at random."""
    return random.SystemRandom().uniform(0, min(0.02 * 2 ** min(attempt, 10), MAX_BACKOFF_SECONDS))
