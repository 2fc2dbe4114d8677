"""What a load did: a summary a file, and the rejects as a CSV to correct and load again."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from service.core.batch import Reject
from service.core.merge import Counts
from service.core.tables import Table


@dataclass
class Summary:
    """One file's load."""

    table: Table
    path: Path
    read: int = 0
    counts: Counts = field(default_factory=Counts)
    rejected: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    rejects_file: Path | None = None
    seconds: float = 0.0

    def reject(self, rejects: Iterable[Reject]) -> None:
        """Count rejects, each under every field it failed on."""
        for reject in rejects:
            self.rejected += 1
            self.reasons.update({error.field or error.code for error in reject.errors})

    def as_object(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "table": self.table.name,
            "file": str(self.path),
            "read": self.read,
            "added": self.counts.added,
            "changed": self.counts.changed,
            "unchanged": self.counts.unchanged,
            "skipped": self.counts.skipped,
            "rejected": self.rejected,
            "reasons": dict(sorted(self.reasons.items())),
            "rejects_file": str(self.rejects_file) if self.rejects_file else None,
            "seconds": round(self.seconds, 3),
        }

    def __str__(self) -> str:
        words = [f"{self.table.name}: {self.read} read, {self.counts.added} added"]
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
            words.append(f"{self.rejected} rejected ({reasons}), see {self.rejects_file}")
        return ", ".join(words)


def changed_nothing(summaries: Iterable[Summary]) -> bool:
    """Whether a load found everything there already."""
    return not any(summary.counts.added or summary.counts.changed for summary in summaries)


class RejectsFile:
    """`<table>.rejects.csv`: line and reasons, then the record as it was."""

    def __init__(self, folder: Path, table: Table):
        self.path = folder / f"{table.name}.rejects.csv"
        self._header = ["line", "errors", *table.columns]
        self._records: list[str] = []

    def add(self, rejects: Iterable[Reject]) -> None:
        """Take rejects whose records are lines of text."""
        for reject in rejects:
            reasons = "; ".join(error.message for error in reject.errors)
            self._records.append(f"{_csv([reject.position, reasons])},{reject.record}\n")

    def close(self) -> Path | None:
        """Write the file, if there is anything to write."""
        if not self._records:
            return None
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("w", encoding="utf-8", newline="") as file:
            file.write(f"{_csv(self._header)}\n")
            file.writelines(self._records)
        return self.path


def _csv(fields: list[Any]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(fields)
    return line.getvalue()
