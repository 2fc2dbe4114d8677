"""The summary of a load, one per file, for people and as JSON."""

from __future__ import annotations

import time
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
"""Rejects in a summary; the rejects file has all of them."""
CHARACTERS = 1000
"""Characters of a record in a summary."""


@dataclass
class Summary:
    """The load of one file; first: its first rejects; notes: remarks for people.

    file: None for a table without a file.
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
    started: float = field(default_factory=time.perf_counter)

    @property
    def elapsed(self) -> float:
        """Seconds since its start."""
        return time.perf_counter() - self.started

    def add(self, received: int, counts: Counts, rejects: Sequence[Reject]) -> None:
        """Add a block: counts rejects by each wrong field, and errors by code."""
        self.read += received
        self.first += map(_shortened, rejects[: SHOWN - len(self.first)])
        self.counts += counts
        self.rejected += len(rejects)
        errors = [reject.errors for reject in rejects]
        several = [
            {error.field or error.code for error in some} for some in errors if len(some) > 1
        ]
        single = [some[0].field or some[0].code for some in errors if len(some) == 1]
        self.reasons.update(chain(single, chain.from_iterable(several)))
        self.codes.update([error.code for some in errors for error in some])

    def as_object(self) -> dict[str, Any]:
        """The summary for `--json`."""
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
        phrases = [f"{self.table.name}: {self.read} read", f"{self.counts.added} added"]
        phrases += [
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
            phrases.append(f"{self.rejected} rejected ({reasons})")
        if self.rejects_file:
            phrases.append(f"see {printable(self.rejects_file)}")
        return ". ".join([", ".join(phrases), *self.notes])


def _shortened(reject: Reject) -> Reject:
    return Reject(reject.position, reject.record[:CHARACTERS], reject.errors)


def render(summaries: list[Summary]) -> str:
    """The summaries as text."""
    lines = [str(summary) for summary in summaries]
    if any(summary.dry_run for summary in summaries):
        lines.append("Dry run: nothing was written.")
    elif changed_nothing(summaries):
        lines.append("No row was added or changed.")
    return "\n".join(lines)


def changed_nothing(summaries: Iterable[Summary]) -> bool:
    """Whether no row was added or changed."""
    return not any(summary.counts.added or summary.counts.changed for summary in summaries)
