"""Concurrent jobs: results in order, limited waiting, common ids one after the other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from functools import partial

import pytest

from service.core.ordered import RESULTS_PER_WORKER, Ids, Job, in_order

WORKERS = 3
FAR = 3 * WORKERS * RESULTS_PER_WORKER


class Failure(Exception):
    """The error of a job."""


@pytest.mark.parametrize(
    "slow", [0, 1, WORKERS * RESULTS_PER_WORKER - 1, WORKERS * RESULTS_PER_WORKER, FAR - 1]
)
async def test_one_slow_job_delays_only_a_limited_number_of_jobs(slow: int) -> None:
    started: list[int] = []
    ahead: list[int] = []

    async def work(number: int) -> int:
        started.append(number)
        if number == slow:
            await asyncio.sleep(0.1)
            ahead.append(len(started) - 1 - number)
        return number

    async def jobs() -> AsyncGenerator[Job[int]]:
        for number in range(FAR):
            yield Job(Ids([(number,)]), partial(work, number))
            await asyncio.sleep(0)

    async with asyncio.timeout(5):
        assert [number async for number in in_order(jobs(), WORKERS)] == list(range(FAR))
    assert ahead[0] < WORKERS * RESULTS_PER_WORKER


async def test_jobs_with_a_common_id_run_one_after_the_other() -> None:
    running: set[int] = set()

    async def work(number: int) -> int:
        assert not running & {number % 2}
        running.add(number % 2)
        await asyncio.sleep(0.01)
        running.remove(number % 2)
        return number

    async def jobs() -> AsyncGenerator[Job[int]]:
        for number in range(10):
            yield Job(Ids([(number % 2,)]), partial(work, number))

    assert [number async for number in in_order(jobs(), WORKERS)] == list(range(10))


async def test_a_failed_job_ends_all_jobs() -> None:
    ended: list[int] = []

    async def work(number: int) -> int:
        if number == 2:
            raise Failure
        try:
            await asyncio.sleep(0.01 if number < 2 else 10)
        finally:
            ended.append(number)
        return number

    async def jobs() -> AsyncGenerator[Job[int]]:
        for number in range(FAR):
            yield Job(Ids([(number,)]), partial(work, number))

    with pytest.raises(Failure):
        assert [number async for number in in_order(jobs(), WORKERS)] == []
    assert sorted(ended) == [0, 1, *range(3, len(ended) + 1)]
