"""How to load."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from service.core.tables import Table
from service.core.writes.merge import OnConflict

WORKERS = min(max(os.cpu_count() or 2, 2), 4)
"""Two keep a server busy that shares two cores with the loader; a third only adds contention."""


@dataclass(frozen=True)
class Options:
    """What the command line says; `patience`: seconds to wait for a database that went away.

    small_blocks: in less memory, and slower.
    """

    data_dir: Path
    rejects_dir: Path
    on_conflict: OnConflict = "reject"
    assume_utc: bool = False
    files: tuple[str, ...] = ()
    table: Table | None = None
    delimiter: str = ","
    dry_run: bool = False
    max_rejects: int | None = None
    workers: int = WORKERS
    patience: float = 30
    small_blocks: bool = False

    @property
    def judgement(self) -> str:
        """What decides, beside the file, what becomes of a row, and in which block."""
        words = f"{self.on_conflict} {self.assume_utc} {self.delimiter}"
        # A load is resumed at the blocks it had.
        return f"{words} small" if self.small_blocks else words
