"""Limits how much runs at a time. Excess requests get 503 immediately; there is no queue."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from service.core.errors import UnavailableError
from service.web.problems import RETRY_SECONDS

WINDOW = float(RETRY_SECONDS)
"""Seconds in which refusals are counted. A waiting client tries once in this time."""


class Limiter:
    """Admits `places` at a time, or only `narrow` during an overload.

    An overload is a window with more refusals than places. With fewer at a time, each one ends
    sooner, and a busy worker completes as many in a second. So the first refusal narrows the limit.
    """

    def __init__(
        self, places: int, narrow: int | None = None, what: str = "batches are being processed"
    ):
        self._places = self._open = places
        self._narrow = min(narrow or places, places)
        self._what = what
        self._inside = self._refused = 0.0
        self._counted_until = 0.0

    def refuses(self, size: float = 1.0) -> bool:
        """Whether there is no place for work of a size, in places. True counts as a refusal."""
        now = time.monotonic()
        if now >= self._counted_until:
            self._open = self._narrow if self._refused > self._places else self._places
            self._refused, self._counted_until = 0.0, now + WINDOW
        if self._inside + size <= self._open:
            return False
        self._refused += size
        self._open = self._narrow
        return True

    @property
    def refusal(self) -> UnavailableError:
        return UnavailableError(f"Too many {self._what}. Try again shortly.")

    @contextmanager
    def place(self, size: float = 1.0) -> Iterator[None]:
        """Hold a place, or a part of one for small work; UnavailableError if there is none."""
        if self.refuses(size):
            raise self.refusal
        self._inside += size
        try:
            yield
        finally:
            self._inside -= size


def batch_limiter(places: int) -> Limiter:
    """The limit on the batches of one worker: `places` at a time, a quarter during an overload.

    It does not depend on the number of cores. A worker uses one core: a second batch keeps it busy
    while the first waits for the database. More cores need more workers, each with its own limit.
    """
    return Limiter(places, narrow=max(1, places // 4))
