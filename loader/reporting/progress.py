"""Progress of a running load: a bar for each file on a terminal, else a line every few seconds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from loader.reading.file import CsvFile
from loader.reporting.summary import Summary
from service.core import progress

Progress = Callable[[CsvFile, Summary, int], None]
"""Called after each block of a file, with the number of bytes that are done."""


def silent(_file: CsvFile, _summary: Summary, _done: int) -> None:
    """Shows nothing."""


@contextmanager
def on_terminal() -> Iterator[Progress]:
    """Shows each file, with its rows, their rate and the rejects."""
    with progress.on_terminal() as display:

        def show(file: CsvFile, summary: Summary, done: int) -> None:
            name = file.source.short_name
            display(name, _status(summary), done, file.size, summary.elapsed)

        yield show


def _status(summary: Summary) -> str:
    rate = summary.read / summary.elapsed
    return f"{summary.read:,} rows, {rate:,.0f} rows/s, {summary.rejected:,} rejects"
