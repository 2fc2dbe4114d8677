"""The table of what each fault costs, as Markdown, and its place in docs/scaling.md."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from tests.support.history import Anomaly, Kind, counts
from tests.support.retrying_clients import RetryingClients

MARKED = re.compile(r"(?s)(<!-- cluster: begin -->\n).*?(<!-- cluster: end -->)")
COLUMNS = (
    "Fault",
    "Longest time without a success",
    "Allowed",
    "Replies",
    "Slowest reply",
    "Rows",
    "Lost",
    "Doubled",
    "Wrong ids",
)
COUNTED = (Kind.LOST, Kind.DOUBLED, Kind.WRONG_ID)
FIGURES: list[Figures] = []
"""What the tests measured; printed at the end of the run."""


@dataclass(frozen=True)
class Figures:
    """What a fault cost. Times are in seconds; limit, gap, slowest: None if nothing measures it."""

    fault: str
    limit: float | None
    gap: float | None
    replies: str
    slowest: float | None
    rows: int
    anomalies: Counter[Kind]

    def cells(self) -> list[str]:
        """The texts of the columns."""
        counted = [f"{self.anomalies[kind]:,}" for kind in COUNTED]
        limit = "–" if self.limit is None else f"{self.limit:g} s"
        times = [_seconds(self.gap), limit, self.replies, _seconds(self.slowest)]
        return [self.fault, *times, f"{self.rows:,}", *counted]


def of_clients(
    fault: str, limit: float | None, clients: RetryingClients, rows: int, found: list[Anomaly]
) -> Figures:
    """The figures of batches that clients sent."""
    replies = format_replies(clients.replies)
    return Figures(fault, limit, clients.gap, replies, clients.slowest, rows, counts(found))


def format_replies(replies: Counter[int | None]) -> str:
    """How many replies there are of each status, the lowest status first."""
    ordered = sorted(replies.items(), key=lambda item: item[0] or 999)
    return ", ".join(f"{number:,} × {status or 'no reply'}" for status, number in ordered)


def table(rows: list[list[str]]) -> list[str]:
    """The lines of a Markdown table with these rows."""
    lines = [list(COLUMNS), ["---"] * len(COLUMNS), *rows]
    return [f"| {' | '.join(cells)} |" for cells in lines]


def write(page: Path, figures: list[Figures]) -> None:
    """Put the figures into the table of the page. Rows of other faults stay."""
    text = page.read_text(encoding="utf-8")
    marked = MARKED.search(text)
    assert marked, f"{page} has no place for the table"
    rows = {cells[0]: cells for cells in map(_cells, marked[0].splitlines()[3:-1])}
    rows |= {found.fault: found.cells() for found in figures}
    new = "\n".join(table(list(rows.values())))
    page.write_text(MARKED.sub(lambda it: f"{it[1]}{new}\n{it[2]}", text), encoding="utf-8")


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def _seconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f} s"
