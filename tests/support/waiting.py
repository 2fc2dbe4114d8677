"""Waits for a condition, with a time limit."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from service.core.database.pool import Pool


async def until(condition: Callable[[], Awaitable[bool]], limit: float) -> float:
    """The seconds until the condition held; TimeoutError after `limit` seconds."""
    began = time.monotonic()
    async with asyncio.timeout(limit):
        while True:
            if await condition():
                return time.monotonic() - began
            await asyncio.sleep(0.02)


async def until_idle(pool: Pool) -> None:
    """Wait until no connection is in use or being opened."""

    async def is_idle() -> bool:
        return pool.size == len(pool._free)

    await until(is_idle, 10)
