"""A measured figure and its floor, from the same run."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from statistics import median

from msgspec import Struct


class Figure(Struct, omit_defaults=True):
    """Medians of several runs, and the range of the ratio. floor: the best possible result."""

    name: str
    value: float
    unit: str
    runs: int
    floor: float | None = None
    floor_name: str | None = None
    ratio: float | None = None
    ratio_min: float | None = None
    ratio_max: float | None = None
    wanted: str | None = None

    def __str__(self) -> str:
        words = f"{self.name:<44} {self.value:>12,.1f} {self.unit:<12}"
        if self.ratio is None:
            return words
        spread = f"{self.ratio:.2f} ({self.ratio_min:.2f}–{self.ratio_max:.2f})"
        return f"{words} {spread:<20} of {self.floor:,.1f} ({self.floor_name}) {self.wanted or ''}"


def single(name: str, values: Sequence[float], unit: str, wanted: str | None = None) -> Figure:
    """A figure without a floor."""
    return Figure(name, median(values), unit, len(values), wanted=wanted)


def beside(
    name: str,
    values: Sequence[float],
    unit: str,
    *,
    floor: Sequence[float],
    floor_name: str,
    wanted: str | None = None,
) -> Figure:
    """A figure and its floor, measured alternately. Each pair of runs gives a ratio."""
    ratios = [value / base for value, base in zip(values, floor, strict=True)]
    return Figure(
        name,
        median(values),
        unit,
        len(values),
        median(floor),
        floor_name,
        median(ratios),
        min(ratios),
        max(ratios),
        wanted,
    )


def seconds(work: Callable[[], object]) -> float:
    """How long a call takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


async def seconds_of(work: Awaitable[object]) -> float:
    """How long a coroutine takes."""
    started = time.perf_counter()
    await work
    return time.perf_counter() - started
