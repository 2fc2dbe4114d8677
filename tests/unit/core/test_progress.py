"""Progress of long work: lines with rows, rate, share and time left."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

from service.core import progress
from service.core.progress import Step, in_lines, line, of_rows
from tests.support.waiting import until


class Clock:
    """A clock that a test sets."""

    now = 0.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("service.core.progress.time.monotonic", lambda: clock.now)
    return clock


def test_a_line_has_the_share_and_the_time_left() -> None:
    assert line("jobs", "25 rows", 25, 100, 2.0) == "jobs: 25 rows, 25 %, 6 s left"
    assert line("jobs", "25 rows", 25, 0, 2.0) == "jobs: 25 rows"
    assert line("jobs", "", 0, 100, 0.0) == "jobs"


def test_more_rows_than_expected_are_no_negative_time() -> None:
    assert line("jobs", "150 rows", 150, 100, 2.0) == "jobs: 150 rows, 100 %, 0 s left"


def test_each_step_has_its_own_rate(clock: Clock) -> None:
    shown: list[str] = []
    show = of_rows(lambda *state: shown.append(line(*state)))
    for now, step, rows, total in (
        (0, "jobs", 0, 100_000),
        (2, "jobs", 1000, 100_000),
        (3, "hires", 0, 0),
        (4, "hires", 50, 0),
    ):
        clock.now = now
        show(Step(step, rows, total))
    assert shown[1] == "jobs: 1,000 rows, 500 rows/s, 1 %, 198 s left"
    assert shown[-1] == "hires: 50 rows, 50 rows/s"


async def test_a_line_is_written_every_few_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "INTERVAL", 0.05)
    verify, written = "verify jobs: 5 rows, 50 %, 1 s left", list[str]()

    async def is_repeated(text: str) -> bool:
        return written.count(text) > 2

    with in_lines(written.append) as display:
        display("index jobs", "", 0, 0, 0.0)
        await until(partial(is_repeated, "index jobs"), 10)  # a step that reports nothing
        display("verify jobs", "5 rows", 5, 10, 1.0)
        await until(partial(is_repeated, verify), 10)
    count = len(written)
    await asyncio.sleep(0.1)
    assert count == len(written)
    assert (written[0], written[-1]) == ("index jobs", verify)


def test_short_work_writes_no_line() -> None:
    written: list[str] = []
    with in_lines(written.append) as display:
        display("index jobs", "", 0, 0, 0.0)
    assert written == []
