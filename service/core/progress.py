"""Progress of long work: a bar on a terminal, else a line every few seconds."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click
from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

log = logging.getLogger("hirebase.core")

INTERVAL = 5
"""Seconds between two lines."""

Progress = Callable[[str, int, int | None], None]
"""Called with a step, its rows that are done, and all its rows if they are known.

A step begins with a call of 0 rows.
"""

Display = Callable[[str, str, int, int | None, float], None]
"""Shows a step: its name, its status, how much is done, of how much, and since how many seconds."""


def silent(_step: str, _rows: int, _total: int | None) -> None:
    """Shows nothing."""


def of_rows(display: Display) -> Progress:
    """Shows the rows of each step and their rate."""
    current, started = "", 0.0

    def show(step: str, rows: int, total: int | None) -> None:
        nonlocal current, started
        if step != current:
            current, started = step, time.monotonic()
        elapsed = time.monotonic() - started
        rate = rows / elapsed if elapsed else 0
        display(step, f"{rows:,} rows, {rate:,.0f} rows/s", rows, total, elapsed)

    return show


@contextmanager
def on_terminal() -> Iterator[Display]:
    """A bar for each step if standard error is a terminal, else lines."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield in_lines(_print)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[status]}"),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=console) as bars:
        yield _in_bars(bars)


def in_lines(write: Callable[[str], None] = log.info) -> Display:
    """A line every INTERVAL seconds; by default in the log."""
    written = time.monotonic()

    def show(step: str, status: str, done: int, total: int | None, elapsed: float) -> None:
        nonlocal written
        if time.monotonic() - written >= INTERVAL:
            written = time.monotonic()
            write(line(step, status, done, total, elapsed))

    return show


def line(step: str, status: str, done: int, total: int | None, elapsed: float) -> str:
    """A step as text, with the time left if the total is known."""
    text = f"{step}: {status}"
    if total is None:
        return text
    left = elapsed * max(0, total - done) / done if done else 0
    share = min(100, 100 * done // total) if total else 100
    return f"{text}, {share} %, {left:.0f} s left"


def _in_bars(bars: Bars) -> Display:
    current, task = "", TaskID(0)

    def show(step: str, status: str, done: int, total: int | None, _elapsed: float) -> None:
        nonlocal current, task
        if step != current:
            current = step
            task = bars.add_task(step, total=total, status="")
        bars.update(task, completed=done, total=total, status=status)

    return show


def _print(text: str) -> None:
    click.echo(text, err=True)
