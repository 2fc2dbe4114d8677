"""What Prometheus is told; a registry an application, and a folder that its workers share."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from service.core.database.transactions import Database
from service.core.tables import Table
from service.core.writes.ingest import Verdict

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
SHARED = "PROMETHEUS_MULTIPROC_DIR"
"""The variable that names the folder; the client library reads it when it is imported."""
LOADED = ("added", "changed", "unchanged", "skipped", "rejected")
Read = Callable[[Database], float]
Sum = Literal["sum", "livesum", "livemax"]
WATCHED: tuple[tuple[str, str, Sum, Read], ...] = (
    ("pool_connections", "Connections open.", "livesum", lambda base: base.pool.size),
    ("pool_free", "Connections open and idle.", "livesum", lambda base: base.pool.freesize),
    ("pool_waiting", "Those waiting for one.", "livesum", lambda base: base.pool.waiting),
    ("retries", "Transactions run again after a conflict.", "sum", lambda base: base.retries),
    ("snapshot_seconds", "Age of the oldest open snapshot.", "livemax", Database.snapshot_age),
)
"""(name, text, what is made of the workers' figures, how to read one's own)."""


class Metrics:
    """The service's figures since it started."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = self._histogram(
            "request_seconds",
            "Requests by route template, method and status.",
            ["route", "method", "status"],
        )
        self.batch = self._histogram(
            "batch_seconds", "A batch's time: decoding and judging it, or writing it.", ["part"]
        )
        self.inserted = self._counter("rows_inserted", "Rows written.", ["table"])
        self.rejected = self._counter(
            "rows_rejected", "Errors of rows that were not written.", ["table", "code"]
        )
        self.loaded = self._counter(
            "loader_rows", "Rows of files that the service loaded.", ["table", "outcome"]
        )
        self.refused = self._counter(
            "loader_errors", "Errors of rows of files that were not written.", ["table", "code"]
        )
        self.backups = self._counter(
            "backups", "Backups, restores and verifications.", ["action", "outcome"]
        )
        self.backup_bytes = self._counter("backup_bytes", "Bytes of backups taken.", [])
        self._watched = [
            (Gauge(f"hirebase_{name}", text, registry=self.registry, multiprocess_mode=mode), read)
            for name, text, mode, read in WATCHED
        ]

    def watch(self, database: Database) -> None:
        """Note what the database knows of itself now."""
        for gauge, read in self._watched:
            gauge.set(read(database))

    def count(self, table: Table, verdict: Verdict) -> None:
        """What became of a batch."""
        self.inserted.labels(table.name).inc(verdict.inserted)
        for reject in verdict.rejects:
            for error in reject.errors:
                self.rejected.labels(table.name, error.code).inc()

    def count_load(self, files: Iterable[Mapping[str, Any]]) -> None:
        """What became of the rows of files, by `table` and what LOADED names, and their `codes`."""
        for file in files:
            for outcome in LOADED:
                self.loaded.labels(file["table"], outcome).inc(file.get(outcome, 0))
            for code, count in file["codes"].items():
                self.refused.labels(file["table"], code).inc(count)

    @contextmanager
    def copying(self, action: str, *, dry_run: bool = False) -> Iterator[None]:
        """Count a backup, restore or verification by how it ends."""
        name = f"{action}_dry_run" if dry_run else action
        try:
            yield
        except BaseException:
            self.backups.labels(name, "failed").inc()
            raise
        self.backups.labels(name, "done").inc()

    def told(self) -> bytes:
        """All of it for Prometheus, added up over the workers where they share a folder."""
        folder = os.environ.get(SHARED)
        if folder is None:
            return generate_latest(self.registry)
        _forget_the_dead(Path(folder))
        all_workers = CollectorRegistry()
        MultiProcessCollector(all_workers, folder)
        return generate_latest(all_workers)

    def _counter(self, name: str, text: str, labels: list[str]) -> Counter:
        return Counter(f"hirebase_{name}", text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, labels: list[str]) -> Histogram:
        return Histogram(f"hirebase_{name}", text, labels, registry=self.registry, buckets=SECONDS)


def _forget_the_dead(folder: Path) -> None:
    """A worker that was killed has no connections; what it counted still counts."""
    for path in folder.glob("gauge_live*.db"):
        pid = int(path.stem.rpartition("_")[2])
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            with suppress(FileNotFoundError):  # another worker was quicker
                mark_process_dead(pid, str(folder))
        except PermissionError:
            continue
