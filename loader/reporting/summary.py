"""What a load did: a summary a file, for people and as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from loader.reading.source import printable
from service.core.rules.reject import Reject
from service.core.tables import Table
from service.core.writes.merge import Counts

SHOWN = 200
"""Rejects that a summary carries; their file has all."""
CHARACTERS = 1000
"""Of a record in it."""


@dataclass
class Summary:
    """One file's load; `notes`: what else is to be known; `first`: the first of its rejects.

    file: None for a table that there is no file for.
    """

    table: Table
    file: str | None
    read: int = 0
    counts: Counts = field(default_factory=Counts)
    rejected: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    first: list[Reject] = field(default_factory=list)
    rejects_file: Path | None = None
    dry_run: bool = False
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def add(self, received: int, counts: Counts, rejects: Sequence[Reject]) -> None:
        """Count a block: rejects under every field they failed on, errors under their codes."""
        self.read += received
        self.first += map(_shortened, rejects[: SHOWN - len(self.first)])
        self.counts += counts
        self.rejected += len(rejects)
        named = ({error.field or error.code for error in reject.errors} for reject in rejects)
        self.reasons.update(chain.from_iterable(named))
        self.codes.update(error.code for reject in rejects for error in reject.errors)

    def as_object(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "table": self.table.name,
            "file": self.file,
            "read": self.read,
            "added": self.counts.added,
            "changed": self.counts.changed,
            "unchanged": self.counts.unchanged,
            "skipped": self.counts.skipped,
            "rejected": self.rejected,
            "reasons": dict(sorted(self.reasons.items())),
            "codes": dict(sorted(self.codes.items())),
            "rejects_file": printable(self.rejects_file) if self.rejects_file else None,
            "dry_run": self.dry_run,
            "notes": self.notes,
            "seconds": round(self.seconds, 3),
        }

    def __str__(self) -> str:
        if self.file is None:
            return ". ".join(self.notes)
        words = [f"{self.table.name}: {self.read} read", f"{self.counts.added} added"]
        words += [
            f"{count} {name}"
            for name, count in (
                ("changed", self.counts.changed),
                ("unchanged", self.counts.unchanged),
                ("skipped", self.counts.skipped),
            )
            if count
        ]
        if self.rejected:
            reasons = ", ".join(f"{name} {count}" for name, count in self.reasons.most_common())
            words.append(f"{self.rejected} rejected ({reasons})")
        if self.rejects_file:
            words.append(f"see {printable(self.rejects_file)}")
        return ". ".join([", ".join(words), *self.notes])


def _shortened(reject: Reject) -> Reject:
    return Reject(reject.position, reject.record[:CHARACTERS], reject.errors)


def render(summaries: list[Summary]) -> str:
    """The summaries for people."""
    lines = [str(summary) for summary in summaries]
    if any(summary.dry_run for summary in summaries):
        lines.append("Dry run: nothing was written.")
    elif changed_nothing(summaries):
        lines.append("Everything was there already: nothing changed.")
    return "\n".join(lines)


def changed_nothing(summaries: Iterable[Summary]) -> bool:
    """Whether a load found everything there already."""
    return not any(summary.counts.added or summary.counts.changed for summary in summaries)
