"""The bound on batches in work."""

from __future__ import annotations

import os
from contextlib import ExitStack

import pytest

from service.core.errors import UnavailableError
from service.web.traffic import limiter as gates
from service.web.traffic.limiter import WINDOW, Limiter, batches


class Clock:
    """A time that passes when told to."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(gates, "time", clock)
    return clock


def admitted(gate: Limiter, count: int) -> int:
    """How many get in of so many that come at once and leave together."""
    inside = 0
    with ExitStack() as stack:
        for _ in range(count):
            try:
                stack.enter_context(gate.entered())
                inside += 1
            except UnavailableError:
                pass
    return inside


def test_a_place_is_free_again_after_an_error() -> None:
    gate = Limiter(1)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), gate.entered():
            raise ZeroDivisionError


def test_a_gate_is_narrow_from_the_first_refusal_on(clock: Clock) -> None:
    gate = Limiter(8, narrow=2)
    assert admitted(gate, 8) == 8
    assert admitted(gate, 9) == 8
    clock.now += WINDOW / 2
    assert admitted(gate, 9) == 2


def test_a_gate_stays_narrow_while_too_many_come_in_vain(clock: Clock) -> None:
    gate = Limiter(8, narrow=2)
    admitted(gate, 20)
    for _ in range(5):
        clock.now += WINDOW
        assert admitted(gate, 20) == 2


def test_a_gate_is_wide_again_for_those_that_it_has_places_for(clock: Clock) -> None:
    gate = Limiter(8, narrow=2)
    admitted(gate, 20)
    clock.now += WINDOW
    assert admitted(gate, 8) == 2
    clock.now += WINDOW
    assert admitted(gate, 8) == 8


@pytest.mark.parametrize("cores", [1, 2, 4, 8, 16, 64, None])
@pytest.mark.parametrize(("places", "narrow"), [(1, 1), (3, 1), (4, 1), (8, 2), (64, 16)])
def test_the_limit_on_batches_narrows_on_any_number_of_cores(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, cores: int | None, places: int, narrow: int
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    gate = batches(places)
    assert admitted(gate, places) == places
    assert admitted(gate, 4 * places) == places
    for _ in range(3):
        clock.now += WINDOW
        assert admitted(gate, 4 * places) == narrow


def test_a_gate_without_a_narrow_width_has_one() -> None:
    gate = Limiter(3)
    assert [admitted(gate, 5) for _ in range(3)] == [3, 3, 3]
