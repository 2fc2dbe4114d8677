"""Work on several blocks at once, results in the order of the blocks."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, TypeVar

from service.core.batch import Row

T = TypeVar("T")


class Ids:
    """The ids of a block's rows."""

    def __init__(self, rows: Sequence[Row]):
        self._ids: list[int] = [row[0] for row in rows]

    def meets(self, other: Ids) -> bool:
        """Whether the two have an id in common."""
        if not self._ids or not other._ids:
            return False
        apart = self._last < other._first or other._last < self._first
        return not apart and not self._set.isdisjoint(other._set)

    @cached_property
    def _first(self) -> int:
        return min(self._ids)

    @cached_property
    def _last(self) -> int:
        return max(self._ids)

    @cached_property
    def _set(self) -> set[int]:
        return set(self._ids)


@dataclass(frozen=True)
class Job(Generic[T]):
    """What to do with a block. Jobs that share an id are done one after the other."""

    ids: Ids
    work: Callable[[], Coroutine[Any, Any, T]]


async def in_order(jobs: AsyncGenerator[Job[T]], workers: int) -> AsyncGenerator[T]:
    """The results of jobs in their order; up to `workers` of them are in flight."""
    flying: deque[tuple[Ids, asyncio.Task[T]]] = deque()
    try:
        async for job in jobs:
            while len(flying) >= workers or any(ids.meets(job.ids) for ids, _ in flying):
                yield await flying[0][1]
                flying.popleft()
            flying.append((job.ids, asyncio.create_task(job.work())))
        while flying:
            yield await flying[0][1]
            flying.popleft()
    finally:
        await jobs.aclose()
        for _, task in flying:
            task.cancel()
        await asyncio.gather(*(task for _, task in flying), return_exceptions=True)
