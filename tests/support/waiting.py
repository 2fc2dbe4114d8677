"""Waiting for what comes about by itself, with a limit."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from service.core.database.pool import Pool


async def until(comes: Callable[[], Awaitable[bool]], limit: float) -> float:
    """The seconds until it was so; TimeoutError after so many."""
    began = time.monotonic()
    async with asyncio.timeout(limit):
        while True:
            if await comes():
                return time.monotonic() - began
            await asyncio.sleep(0.02)


async def until_idle(pool: Pool) -> None:
    """Wait until no connection is in use or being opened."""

    async def is_idle() -> bool:
        return pool.size == len(pool._free)

    await until(is_idle, 10)
