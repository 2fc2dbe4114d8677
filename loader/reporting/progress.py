"""Progress of a running load: a bar on a terminal, else a line every few seconds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click
from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from loader.reading.file import CsvFile
from loader.reporting.summary import Summary

INTERVAL = 5
"""Seconds between two lines."""

Advance = Callable[[int], None]


class Progress:
    """Shows nothing."""

    @contextmanager
    def file(self, _file: CsvFile, _summary: Summary) -> Iterator[Advance]:
        """Yields a function to call after each block, with the number of bytes that are done."""
        yield lambda _done: None


class Lines(Progress):
    """A line on standard error every few seconds."""

    @contextmanager
    def file(self, file: CsvFile, summary: Summary) -> Iterator[Advance]:
        started = printed = time.monotonic()

        def advance(done: int) -> None:
            nonlocal printed
            now = time.monotonic()
            if now - printed >= INTERVAL:
                printed = now
                click.echo(_line(file, summary, done, now - started), err=True)

        yield advance


class Bar(Progress):
    """A bar on the terminal."""

    def __init__(self, console: Console):
        self._console = console

    @contextmanager
    def file(self, file: CsvFile, summary: Summary) -> Iterator[Advance]:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[status]}"),
            TimeRemainingColumn(),
        )
        started = time.monotonic()
        with Bars(*columns, console=self._console) as bars:
            task = bars.add_task(summary.table.name, total=file.size, status="")

            def advance(done: int) -> None:
                status = _status(summary, time.monotonic() - started)
                bars.update(task, completed=done, status=status)

            yield advance


def on_terminal() -> Progress:
    """A bar if standard error is a terminal, else lines."""
    console = Console(stderr=True)
    return Bar(console) if console.is_terminal else Lines()


def _status(summary: Summary, seconds: float) -> str:
    rate = summary.read / seconds if seconds else 0
    return f"{summary.read:,} rows, {rate:,.0f} rows/s, {summary.rejected:,} rejects"


def _line(file: CsvFile, summary: Summary, done: int, seconds: float) -> str:
    left = seconds * (file.size - done) / done if done else 0
    share = 100 * done // file.size if file.size else 100
    return f"{summary.table.name}: {_status(summary, seconds)}, {share} %, {left:.0f} s left"
