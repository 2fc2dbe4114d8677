"""Waits for a condition, with a time limit."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable


async def until(condition: Callable[[], Awaitable[bool]], limit: float) -> float:
    """The seconds until the condition held; TimeoutError after `limit` seconds."""
    began = time.monotonic()
    async with asyncio.timeout(limit):
        while True:
            if await condition():
                return time.monotonic() - began
            await asyncio.sleep(0.02)
