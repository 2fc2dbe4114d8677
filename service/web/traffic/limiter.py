"""A bound on what is in work: what comes on top is refused at once, not queued."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager

from service.core.errors import UnavailableError
from service.web.problems import RETRY_SECONDS

WINDOW = float(RETRY_SECONDS)
"""Seconds in which refusals are counted: each who waits comes in vain once in that time."""


class Limiter:
    """Lets `places` in at a time, or only `narrow` while more come in vain than it has places for.

    Few at work are each done quickly, and no fewer of them a second as long as they keep the
    worker busy; so a gate narrows from its first refusal on.
    """

    def __init__(self, places: int, narrow: int | None = None, what: str = "batches are in work"):
        self._places = self._open = places
        self._narrow = min(narrow or places, places)
        self._what = what
        self._inside = self._refused = 0
        self._counted_until = 0.0

    def refuses(self) -> bool:
        """Whether there is no place; each time is counted as somebody who came in vain."""
        now = time.monotonic()
        if now >= self._counted_until:
            self._open = self._narrow if self._refused > self._places else self._places
            self._refused, self._counted_until = 0, now + WINDOW
        if self._inside < self._open:
            return False
        self._refused += 1
        self._open = self._narrow
        return True

    @property
    def refusal(self) -> UnavailableError:
        return UnavailableError(f"Too many {self._what}. Try again shortly.")

    @contextmanager
    def entered(self) -> Iterator[None]:
        """A place inside; UnavailableError where there is none."""
        if self.refuses():
            raise self.refusal
        self._inside += 1
        try:
            yield
        finally:
            self._inside -= 1

    async def passing(self, source: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
        """What `source` gives, with a place inside for as long as it does."""
        with self.entered():
            async with aclosing(source):
                async for piece in source:
                    yield piece


def batches(places: int) -> Limiter:
    """The limit on batches of one worker: `places` at a time, under overload a quarter of them.

    It does not count cores. The Python of a worker runs on one core, on any machine and under any
    container's quota: a second batch keeps it busy while the first waits for the database. More
    cores are used by more workers, each with a limit of its own.
    """
    return Limiter(places, narrow=max(1, places // 4))
