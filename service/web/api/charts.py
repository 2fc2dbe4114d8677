"""Charts of the reports as SVG: readable without colour, without external files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2

from service.core.reports import QUARTERS, DepartmentHires, QuarterlyHires

MOST_BARS = 40
"""The most bars of a readable chart. The tables have all rows."""
LONGEST_NAME = 30
NONE = "No hires"
NOT_IN_XML = dict.fromkeys((0xFFFE, 0xFFFF), "\N{REPLACEMENT CHARACTER}")
"""Characters that a name may have and XML may not, not even as references."""
LEFT, RIGHT, TOP, STEP = 250, 830, 60, 32
"""Pixels: where the bars begin and end, and from one bar to the next."""
DIGIT = 8
"""Pixels of a digit. If a value is wider than its segment, only the tables show it."""
FILLS = (
    ("#bcd0f5", ""),
    ("#f4d6a4", '<path d="M0 8L8 0M-2 2L2 -2M6 10L10 6" stroke="#10243e" stroke-opacity=".45"/>'),
    ("#bfe3ca", '<circle cx="4" cy="4" r="1.3" fill="#10243e" fill-opacity=".55"/>'),
    ("#dfc6ec", '<path d="M0 4H8M4 0V8" stroke="#10243e" stroke-opacity=".4"/>'),
)
"""(colour, pattern) of each quarter."""

_environment = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
)


def hires_by_quarter(
    rows: Sequence[QuarterlyHires], year: int | None, *, by_job: bool = False
) -> bytes:
    """The hires of the departments that hired most, stacked by quarter.

    by_job: all rows are of one department, and each job has a bar.
    """
    totals: dict[str, Counter[str]] = {}
    for row in rows:
        hired = {quarter: getattr(row, quarter) for quarter in QUARTERS}
        totals.setdefault(row.job if by_job else row.department, Counter()).update(hired)
    ranked = sorted(totals.items(), key=lambda total: -total[1].total())
    bars = [(name, [hired[quarter] for quarter in QUARTERS]) for name, hired in ranked]
    title = f"Hires of {rows[0].department}" if by_job and rows else "Hires"
    return _draw(f"{title} by quarter{_of(year)}", bars, legend=QUARTERS)


def departments_above_mean(rows: Sequence[DepartmentHires], year: int | None, mean: float) -> bytes:
    """The departments above the mean that hired most, and the mean as a line."""
    title = f"Departments above the mean of {mean:,.1f} hires{_of(year)}"
    bars = [(row.department, [row.hired]) for row in rows]
    return _draw(title, bars, mean=mean, empty="No department is above the mean" if mean else NONE)


def _of(year: int | None) -> str:
    return f", {year}" if year else ""


def _draw(
    title: str,
    bars: Sequence[tuple[str, list[int]]],
    *,
    legend: Sequence[str] = (),
    mean: float = 0,
    empty: str = NONE,
) -> bytes:
    shown = bars[:MOST_BARS]
    longest = max([mean, *(sum(values) for _, values in shown)]) or 1
    scale = (RIGHT - LEFT) / longest
    bottom = TOP + STEP * max(2, len(shown))
    mark = {"x": round(LEFT + mean * scale, 1), "text": f"mean {mean:,.1f}"} if mean else None
    return (
        _environment.get_template("bars.svg")
        .render(
            title=title,
            bars=[_bar(at, name, values, scale) for at, (name, values) in enumerate(shown)],
            empty=empty,
            legend=legend,
            mark=mark,
            fills=FILLS,
            left=LEFT,
            top=TOP,
            bottom=bottom,
            height=bottom + 40,
        )
        .encode()
    )


def _bar(at: int, name: str, values: Sequence[int], scale: float) -> dict[str, Any]:
    segments, before = [], 0
    for fill, value in enumerate(values):
        if value:
            x, width = round(LEFT + before * scale, 1), round(value * scale, 1)
            text = f"{value:,}" if width > DIGIT * len(f"{value:,}") else ""
            segments.append({"x": x, "width": width, "text": text, "fill": fill})
        before += value
    name = name.translate(NOT_IN_XML)
    shortened = name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"
    end = {"x": round(LEFT + before * scale + 8, 1), "text": f"{before:,}"}
    return {"name": shortened, "y": TOP + STEP * at, "segments": segments, "end": end}
