"""Waiting for what comes about by itself, with a limit."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable


async def until(comes: Callable[[], Awaitable[bool]], limit: float) -> float:
    """The seconds until it was so; TimeoutError after so many."""
    began = time.monotonic()
    async with asyncio.timeout(limit):
        while True:
            if await comes():
                return time.monotonic() - began
            await asyncio.sleep(0.02)
