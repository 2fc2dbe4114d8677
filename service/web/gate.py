"""A bound on what is in work: what comes on top is refused at once, not queued."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager

from service.core.errors import UnavailableError


class Gate:
    """Lets so many in at a time."""

    def __init__(self, places: int, what: str = "batches are in work"):
        self._places = places
        self._what = what

    @property
    def full(self) -> bool:
        return not self._places

    @property
    def refusal(self) -> UnavailableError:
        return UnavailableError(f"Too many {self._what}. Try again shortly.")

    @contextmanager
    def entered(self) -> Iterator[None]:
        """A place inside; UnavailableError where there is none."""
        if self.full:
            raise self.refusal
        self._places -= 1
        try:
            yield
        finally:
            self._places += 1

    async def passing(self, source: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
        """What `source` gives, with a place inside for as long as it does."""
        with self.entered():
            async with aclosing(source):
                async for piece in source:
                    yield piece
