"""Waiting for a condition that has no event."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable


async def until(condition: Callable[[], Awaitable[bool]], timeout: float) -> float:
    """Wait until the condition is true; the seconds it took. TimeoutError."""
    began = time.monotonic()
    async with asyncio.timeout(timeout):
        while True:
            if await condition():
                return time.monotonic() - began
            await asyncio.sleep(0.02)
