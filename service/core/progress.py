"""Progress of long work: a bar on a terminal, else a line every few seconds."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from functools import partial

import click
from msgspec import Struct
from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

log = logging.getLogger("hirebase.core")

INTERVAL = 5
"""Seconds between two lines."""


class Step(Struct, frozen=True):
    """A step of the work, and how many of its rows are done; total: 0 if it is not known."""

    name: str
    rows: int = 0
    total: int = 0


Progress = Callable[[Step], None]
"""Called at the beginning of each step, with 0 rows, and then as its rows are done."""

Display = Callable[[str, str, int, int, float], None]
"""Shows a step: its name, its status, how much is done, of how much, and since how many seconds."""


def silent(_step: Step) -> None:
    """Shows nothing."""


def of_rows(display: Display) -> Progress:
    """Shows the rows of each step and their rate."""
    current, started = "", 0.0

    def show(step: Step) -> None:
        nonlocal current, started
        if step.name != current:
            current, started = step.name, time.monotonic()
        elapsed = time.monotonic() - started
        rate = step.rows / elapsed if elapsed else 0
        status = f"{step.rows:,} rows, {rate:,.0f} rows/s" if step.rows else ""
        display(step.name, status, step.rows, step.total, elapsed)

    return show


@contextmanager
def on_terminal() -> Iterator[Display]:
    """A bar for each step if standard error is a terminal, else lines."""
    console = Console(stderr=True)
    if not console.is_terminal:
        with in_lines(partial(click.echo, err=True)) as display:
            yield display
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[status]}"),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=console) as bars:
        yield _in_bars(bars)


@contextmanager
def in_log() -> Iterator[Progress]:
    """A line in the log every INTERVAL seconds."""
    with in_lines(log.info) as display:
        yield of_rows(display)


@contextmanager
def in_lines(write: Callable[[str], None]) -> Iterator[Display]:
    """A line every INTERVAL seconds, also while a long step reports nothing."""
    latest, ended = "", threading.Event()

    def show(step: str, status: str, done: int, total: int, elapsed: float) -> None:
        nonlocal latest
        latest = line(step, status, done, total, elapsed)

    def repeat() -> None:
        while not ended.wait(INTERVAL):
            if latest:
                write(latest)

    # The log needs the context: it has the id of the request.
    thread = threading.Thread(target=copy_context().run, args=(repeat,), daemon=True)
    thread.start()
    try:
        yield show
    finally:
        ended.set()
        thread.join()


def line(step: str, status: str, done: int, total: int, elapsed: float) -> str:
    """A step as text, with the time left if the total is known."""
    text = f"{step}: {status}" if status else step
    if not total or not done:
        return text
    left = elapsed * max(0, total - done) / done
    return f"{text}, {min(100, 100 * done // total)} %, {left:.0f} s left"


def _in_bars(bars: Bars) -> Display:
    current, task = "", TaskID(0)

    def show(step: str, status: str, done: int, total: int, _elapsed: float) -> None:
        nonlocal current, task
        if step != current:
            current = step
            task = bars.add_task(step, total=None, status="")
        bars.update(task, completed=done, total=total or None, status=status)

    return show
