"""Work on several blocks at once, results in the order of the blocks."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, TypeVar

from service.core.rules.batch import Row
from service.core.threads import ended

T = TypeVar("T")

RESULTS_PER_WORKER = 4
"""Times as many results as workers are kept where one job holds up those behind it."""


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
    flying: deque[Running[T]] = deque()
    try:
        async for job in jobs:
            for result in _finished(flying):
                yield result
            while before := _blockers(flying, job, workers):
                await asyncio.wait(before, return_when=asyncio.FIRST_COMPLETED)
                for result in _finished(flying):
                    yield result
            flying.append(Running(job.ids, asyncio.create_task(job.work())))
        while flying:
            yield await flying[0].task
            flying.popleft()
    finally:
        for flight in flying:
            flight.task.cancel()
        try:
            await ended(*(flight.task for flight in flying))
        finally:
            await jobs.aclose()


@dataclass(frozen=True)
class Running(Generic[T]):
    """A job that was started and whose result is not given out yet."""

    ids: Ids
    task: asyncio.Task[T]


def _finished(flying: deque[Running[T]]) -> Iterator[T]:
    """The results that are there and have none before them that is not."""
    while flying and flying[0].task.done():
        yield flying.popleft().task.result()


def _blockers(flying: Sequence[Running[T]], job: Job[T], workers: int) -> list[asyncio.Task[T]]:
    """One of these has to end before the job can start; none: it can."""
    if len(flying) >= workers * RESULTS_PER_WORKER:
        return [flying[0].task]
    running = [flight for flight in flying if not flight.task.done()]
    if len(running) >= workers or any(flight.ids.meets(job.ids) for flight in running):
        return [flight.task for flight in running]
    return []
