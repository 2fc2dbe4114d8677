"""Limits how much runs at a time. Excess requests get 503 immediately; there is no queue."""

from __future__ import annotations

import time

from service.core.errors import UnavailableError
from service.web.problems import RETRY_SECONDS

WINDOW = float(RETRY_SECONDS)
"""Seconds in which refusals are counted. A waiting client tries once in this time."""


class Limiter:
    """Admits `places` at a time, or only `narrow` during an overload: `with limiter:` holds one.

    An overload is a window with more refusals than places. With fewer at a time, each one ends
    sooner, and a busy worker completes as many in a second. So the first refusal narrows the limit.
    """

    def __init__(
        self, places: int, narrow: int | None = None, what: str = "batches are being processed"
    ):
        self._places = self._open = places
        self._narrow = min(narrow or places, places)
        self._what = what
        self._inside = self._refused = 0
        self._counted_until = 0.0

    def refuses(self) -> bool:
        """Whether there is no place. True counts as a refusal."""
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

    def __enter__(self) -> None:
        """Hold a place; UnavailableError if there is none."""
        if self.refuses():
            raise self.refusal
        self._inside += 1

    def __exit__(self, *_: object) -> None:
        self._inside -= 1


def batch_limiter(places: int) -> Limiter:
    """The limit on the batches of one worker: `places` at a time, a quarter during an overload.

    It does not depend on the number of cores. A worker uses one core: a second batch keeps it busy
    while the first waits for the database. More cores need more workers, each with its own limit.
    """
    return Limiter(places, narrow=max(1, places // 4))
