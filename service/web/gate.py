"""A bound on the batches in work: what comes on top is refused at once, not queued."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from service.core.errors import UnavailableError


class Gate:
    """Lets so many in at a time."""

    def __init__(self, places: int):
        self._places = places

    @contextmanager
    def entered(self) -> Iterator[None]:
        """A place inside; UnavailableError where there is none."""
        if not self._places:
            raise UnavailableError("Too many batches are in work. Try again shortly.")
        self._places -= 1
        try:
            yield
        finally:
            self._places += 1
