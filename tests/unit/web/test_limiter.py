"""The limit on concurrent batches."""

from __future__ import annotations

import os
from contextlib import ExitStack

import pytest

from service.core.errors import UnavailableError
from service.web.traffic import limiter as limiter_module
from service.web.traffic.limiter import WINDOW, Limiter, batch_limiter
from service.web.traffic.load_shedding import SMALL, size_of


class Clock:
    """A time that the test sets."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(limiter_module, "time", clock)
    return clock


def admitted(limiter: Limiter, count: int, size: float = 1.0) -> int:
    """How many of `count` concurrent requests are admitted."""
    inside = 0
    with ExitStack() as stack:
        for _ in range(count):
            try:
                stack.enter_context(limiter.place(size))
                inside += 1
            except UnavailableError:
                pass
    return inside


def test_a_place_is_free_again_after_an_error() -> None:
    limiter = Limiter(1)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), limiter.place():
            raise ZeroDivisionError


def test_the_first_refusal_narrows_the_limit(clock: Clock) -> None:
    limiter = Limiter(8, narrow=2)
    assert admitted(limiter, 8) == 8
    assert admitted(limiter, 9) == 8
    clock.now += WINDOW / 2
    assert admitted(limiter, 9) == 2


def test_the_limit_stays_narrow_during_an_overload(clock: Clock) -> None:
    limiter = Limiter(8, narrow=2)
    admitted(limiter, 20)
    for _ in range(5):
        clock.now += WINDOW
        assert admitted(limiter, 20) == 2


def test_the_limit_widens_after_an_overload(clock: Clock) -> None:
    limiter = Limiter(8, narrow=2)
    admitted(limiter, 20)
    clock.now += WINDOW
    assert admitted(limiter, 8) == 2
    clock.now += WINDOW
    assert admitted(limiter, 8) == 8


@pytest.mark.parametrize("cores", [1, 2, 4, 8, 16, 64, None])
@pytest.mark.parametrize(("places", "narrow"), [(1, 1), (3, 1), (4, 1), (8, 2), (64, 16)])
def test_the_limit_on_batches_narrows_on_any_number_of_cores(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, cores: int | None, places: int, narrow: int
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    limiter = batch_limiter(places)
    assert admitted(limiter, places) == places
    assert admitted(limiter, 4 * places) == places
    for _ in range(3):
        clock.now += WINDOW
        assert admitted(limiter, 4 * places) == narrow


def test_a_limit_without_a_narrow_width_never_narrows() -> None:
    limiter = Limiter(3)
    assert [admitted(limiter, 5) for _ in range(3)] == [3, 3, 3]


def test_small_batches_take_a_part_of_a_place(clock: Clock) -> None:
    limiter = batch_limiter(8)
    assert admitted(limiter, 32, SMALL) == 32
    with limiter.place(SMALL):
        assert admitted(limiter, 8) == 7
    clock.now += WINDOW
    assert admitted(limiter, 65, SMALL) == 32
    clock.now += WINDOW
    assert admitted(limiter, 65, SMALL) == 8


@pytest.mark.parametrize(
    ("headers", "size"),
    [
        ([], SMALL),
        ([(b"content-length", b"4096")], SMALL),
        ([(b"content-length", b"4097")], 1),
        ([(b"content-length", b"100"), (b"content-encoding", b"gzip")], 1),
        ([(b"transfer-encoding", b"chunked")], 1),
        *([[(b"content-length", odd)], 1] for odd in (b"", b"x", b"-1", b"1_0", b"9" * 5000)),
    ],
)
def test_the_headers_tell_the_size(headers: list[tuple[bytes, bytes]], size: float) -> None:
    assert size_of(headers) == size
