"""Progress of a running load: a bar on a terminal, else a line every few seconds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click
from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from loader.reading.file import CsvFile
from loader.reporting.summary import Summary

INTERVAL = 5
"""Seconds between two lines."""

Progress = Callable[[CsvFile, Summary, int], None]
"""Called after each block of a file, with the number of bytes that are done."""


def silent(_file: CsvFile, _summary: Summary, _done: int) -> None:
    """Shows nothing."""


@contextmanager
def on_terminal() -> Iterator[Progress]:
    """A bar for each file if standard error is a terminal, else lines."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _lines()
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[status]}"),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=console) as bars:
        yield _bars(bars)


def _bars(bars: Bars) -> Progress:
    current: Summary | None = None
    task = TaskID(0)

    def show(file: CsvFile, summary: Summary, done: int) -> None:
        nonlocal current, task
        if summary is not current:
            current = summary
            task = bars.add_task(summary.table.name, total=file.size, status="")
        bars.update(task, completed=done, status=_status(summary))

    return show


def _lines() -> Progress:
    printed = time.monotonic()

    def show(file: CsvFile, summary: Summary, done: int) -> None:
        nonlocal printed
        if time.monotonic() - printed >= INTERVAL:
            printed = time.monotonic()
            click.echo(_line(file, summary, done), err=True)

    return show


def _status(summary: Summary) -> str:
    rate = summary.read / summary.elapsed
    return f"{summary.read:,} rows, {rate:,.0f} rows/s, {summary.rejected:,} rejects"


def _line(file: CsvFile, summary: Summary, done: int) -> str:
    left = summary.elapsed * (file.size - done) / done if done else 0
    share = 100 * done // file.size if file.size else 100
    return f"{summary.table.name}: {_status(summary)}, {share} %, {left:.0f} s left"
