"""Options of a load."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from service.core.tables import Table
from service.core.writes.merge import OnConflict

WORKERS = min(max(os.cpu_count() or 2, 2), 4)
"""Two keep a server busy that shares two cores with the loader. A third only adds contention."""


def processes_for(workers: int) -> int:
    """The processes that validate rows for so many workers; 0: the loader's own process does it.

    One process validates rows faster than two cores of a server write them.
    """
    return workers // 2 if workers > 2 else 0


@dataclass(frozen=True)
class Options:
    """Options from the command line.

    processes: that validate rows, besides this one. reconnect_seconds: how long to wait for a lost
    database. small_blocks: use less memory; slower. user: who closes the rejects that the files
    correct.
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
    processes: int = 0
    reconnect_seconds: float = 30
    small_blocks: bool = False
    user: str = "loader"

    @property
    def checkpoint_key(self) -> str:
        """The options that decide the outcome of a row and the bounds of a block."""
        key = f"{self.on_conflict} {self.assume_utc} {self.delimiter}"
        return f"{key} small" if self.small_blocks else key
