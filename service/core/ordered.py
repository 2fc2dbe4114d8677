"""Runs jobs on several blocks at the same time; results come in the order of the blocks."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, TypeVar

from service.core.rules.batch import Row
from service.core.threads import wait_for_all

T = TypeVar("T")

RESULTS_PER_WORKER = 4
"""Results kept per worker while an earlier job is not done."""


class Ids:
    """The ids of a block's rows."""

    def __init__(self, rows: Sequence[Row]):
        self._ids: list[int] = [row[0] for row in rows]

    def overlap(self, other: Ids) -> bool:
        """Whether the two have an id in common."""
        if not self._ids or not other._ids:
            return False
        disjoint = self._last < other._first or other._last < self._first
        return not disjoint and not self._set.isdisjoint(other._set)

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
    """The work on one block. Jobs that share an id run one after the other."""

    ids: Ids
    work: Callable[[], Coroutine[Any, Any, T]]


async def in_order(jobs: AsyncGenerator[Job[T]], workers: int) -> AsyncGenerator[T]:
    """The results of jobs in their order; up to `workers` jobs run at the same time."""
    started: deque[Running[T]] = deque()
    try:
        async for job in jobs:
            for result in _finished(started):
                yield result
            while blockers := _blockers(started, job, workers):
                await asyncio.wait(blockers, return_when=asyncio.FIRST_COMPLETED)
                for result in _finished(started):
                    yield result
            started.append(Running(job.ids, asyncio.create_task(job.work())))
        while started:
            yield await started[0].task
            started.popleft()
    finally:
        for running in started:
            running.task.cancel()
        try:
            await wait_for_all(*(running.task for running in started))
        finally:
            await jobs.aclose()


@dataclass(frozen=True)
class Running(Generic[T]):
    """A started job whose result is not yielded yet."""

    ids: Ids
    task: asyncio.Task[T]


def _finished(started: deque[Running[T]]) -> Iterator[T]:
    """The results of the first jobs, up to one that is not done."""
    while started and started[0].task.done():
        yield started.popleft().task.result()


def _blockers(started: Sequence[Running[T]], job: Job[T], workers: int) -> list[asyncio.Task[T]]:
    """The tasks of which one must end before the job can start; empty if it can start."""
    if len(started) >= workers * RESULTS_PER_WORKER:
        return [started[0].task]
    unfinished = [running for running in started if not running.task.done()]
    if len(unfinished) >= workers or any(running.ids.overlap(job.ids) for running in unfinished):
        return [running.task for running in unfinished]
    return []
