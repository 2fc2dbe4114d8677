"""How far a load is, while it runs: a bar on a terminal, a line every few seconds elsewhere."""

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

EVERY = 5
"""Seconds from line to line."""

Advance = Callable[[int], None]


class Progress:
    """Says nothing."""

    @contextmanager
    def file(self, _file: CsvFile, _summary: Summary) -> Iterator[Advance]:
        """What to call, with the number of bytes that are done, after every block of a file."""
        yield lambda _done: None


class Lines(Progress):
    """A line on standard error every few seconds."""

    @contextmanager
    def file(self, file: CsvFile, summary: Summary) -> Iterator[Advance]:
        started = said = time.monotonic()

        def advance(done: int) -> None:
            nonlocal said
            now = time.monotonic()
            if now - said >= EVERY:
                said = now
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
            TextColumn("{task.fields[told]}"),
            TimeRemainingColumn(),
        )
        started = time.monotonic()
        with Bars(*columns, console=self._console) as bars:
            task = bars.add_task(summary.table.name, total=file.size, told="")

            def advance(done: int) -> None:
                told = _told(summary, time.monotonic() - started)
                bars.update(task, completed=done, told=told)

            yield advance


def on_terminal() -> Progress:
    """A bar if standard error is a terminal, else lines."""
    console = Console(stderr=True)
    return Bar(console) if console.is_terminal else Lines()


def _told(summary: Summary, seconds: float) -> str:
    rate = summary.read / seconds if seconds else 0
    return f"{summary.read:,} rows, {rate:,.0f} rows/s, {summary.rejected:,} rejects"


def _line(file: CsvFile, summary: Summary, done: int, seconds: float) -> str:
    left = seconds * (file.size - done) / done if done else 0
    share = 100 * done // file.size if file.size else 100
    return f"{summary.table.name}: {_told(summary, seconds)}, {share} %, {left:.0f} s left"
