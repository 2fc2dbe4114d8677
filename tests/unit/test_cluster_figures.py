"""The table of what the faults of clusters cost."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from tests.cluster.figures import Figures, format_replies, write
from tests.support.history import Kind

PAGE = "Before.\n\n<!-- cluster: begin -->\n<!-- cluster: end -->\n\nAfter.\n"


def figures(fault: str, gap: float) -> Figures:
    return Figures(fault, 7, gap, "9 × 201", None, 1200, Counter({Kind.WRONG_ID: 3}))


def test_a_run_replaces_only_its_own_rows(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE, encoding="utf-8")
    write(page, [figures("killed", 1), figures("frozen", 2)])
    write(page, [figures("frozen", 3.25), figures("switched", 4)])
    before, *table, after = page.read_text(encoding="utf-8").split("\n\n")
    assert (before, after) == ("Before.", "After.\n")
    rows = [line.split(" | ")[:2] for line in table[0].splitlines()[3:-1]]
    assert rows == [["| killed", "1.0 s"], ["| frozen", "3.2 s"], ["| switched", "4.0 s"]]
    assert "| frozen | 3.2 s | 7 s | 9 × 201 | – | 1,200 | 0 | 0 | 3 |\n" in table[0]


def test_replies_are_ordered_by_status() -> None:
    assert format_replies(Counter({None: 1, 503: 2, 201: 3000})) == (
        "3,000 × 201, 2 × 503, 1 × no reply"
    )
