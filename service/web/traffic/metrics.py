"""Metrics for Prometheus: a registry for each application, a shared folder for several workers."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from service.core.database.replication.replicas import Replicas
from service.core.tables import Table
from service.core.writes.ingest import Verdict

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
SHARED = "PROMETHEUS_MULTIPROC_DIR"
"""The variable that names the folder. The client library reads it on import."""
LOADED = ("added", "changed", "unchanged", "skipped", "rejected")
Read = Callable[[Replicas], float]
Sum = Literal["sum", "livesum", "livemax"]
GAUGES: tuple[tuple[str, str, Sum, Read], ...] = (
    (
        "pool_connections",
        "Connections open.",
        "livesum",
        lambda base: base.writer.pool.size,
    ),
    (
        "pool_free",
        "Connections open and idle.",
        "livesum",
        lambda base: base.writer.pool.freesize,
    ),
    (
        "pool_waiting",
        "Callers that wait for a connection.",
        "livesum",
        lambda base: base.writer.pool.waiting,
    ),
    (
        "read_pool_connections",
        "Connections open to servers of MYSQL_READ_HOST.",
        "livesum",
        lambda base: sum(replica.pool.size for replica in base.replicas),
    ),
    (
        "read_pool_free",
        "Connections open and idle to servers of MYSQL_READ_HOST.",
        "livesum",
        lambda base: sum(replica.pool.freesize for replica in base.replicas),
    ),
    (
        "retries",
        "Work repeated after a conflict or a lost server.",
        "sum",
        lambda base: base.writer.retries,
    ),
    ("snapshot_seconds", "Age of the oldest open snapshot.", "livemax", Replicas.snapshot_age),
)
"""(name, description, how to combine the workers' values, how to read the value)."""


class Metrics:
    """The metrics of a process since its start."""

    def __init__(self) -> None:
        disable_created_metrics()  # the shared folder has no times of creation
        self.registry = CollectorRegistry()
        self.requests = self._histogram(
            "request_seconds",
            "Requests by route template, method and status.",
            ["route", "method", "status"],
        )
        self._batch = self._histogram(
            "batch_seconds", "Time to decode and validate a batch, or to write it.", ["part"]
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
        self.exports = self._counter("exports", "Lists as files.", ["table", "outcome"])
        self.export_bytes = self._counter("export_bytes", "Bytes of lists as files.", [])
        self.corrected = self._counter(
            "rows_corrected", "Single rows changed or deleted.", ["table", "action"]
        )
        self.closed_rejects = self._counter("rejects_closed", "Rejects closed.", ["state"])
        self._gauges = [
            (Gauge(f"hirebase_{name}", text, registry=self.registry, multiprocess_mode=mode), read)
            for name, text, mode, read in GAUGES
        ]

    @cached_property
    def validated(self) -> Histogram:
        """The time to decode and validate a batch."""
        return self._batch.labels("validate")

    @cached_property
    def written(self) -> Histogram:
        """The time to write a batch."""
        return self._batch.labels("write")

    def update_gauges(self, databases: Replicas) -> None:
        """Update the gauges of the database and its replicas."""
        for gauge, read in self._gauges:
            gauge.set(read(databases))

    def count(self, table: Table, verdict: Verdict) -> None:
        """Count the rows of a batch."""
        self.inserted.labels(table.name).inc(verdict.inserted)
        for reject in verdict.rejects:
            for error in reject.errors:
                self.rejected.labels(table.name, error.code).inc()

    def count_load(self, files: Iterable[Mapping[str, Any]]) -> None:
        """Count rows of loaded files by `table` and outcome (LOADED), and errors by code."""
        for file in files:
            for outcome in LOADED:
                self.loaded.labels(file["table"], outcome).inc(file.get(outcome, 0))
            for code, count in file["codes"].items():
                self.refused.labels(file["table"], code).inc(count)

    @contextmanager
    def counting(self, action: str, *, dry_run: bool = False) -> Iterator[None]:
        """Count a backup, restore or verification by how it ends."""
        with _outcome(self.backups, f"{action}_dry_run" if dry_run else action):
            yield

    @contextmanager
    def exporting(self, table: str) -> Iterator[None]:
        """Count the export of a list by how it ends."""
        with _outcome(self.exports, table):
            yield

    def render(self) -> bytes:
        """The text for Prometheus; sums over the workers if they share a folder."""
        folder = os.environ.get(SHARED)
        if folder is None:
            return generate_latest(self.registry)
        _remove_dead_workers(Path(folder))
        all_workers = CollectorRegistry()
        MultiProcessCollector(all_workers, folder)
        return generate_latest(all_workers)

    def _counter(self, name: str, text: str, labels: list[str]) -> Counter:
        return Counter(f"hirebase_{name}", text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, labels: list[str]) -> Histogram:
        return Histogram(f"hirebase_{name}", text, labels, registry=self.registry, buckets=SECONDS)


@contextmanager
def _outcome(counter: Counter, name: str) -> Iterator[None]:
    try:
        yield
    except BaseException:  # a cancelled one has failed, too
        counter.labels(name, "failed").inc()
        raise
    counter.labels(name, "done").inc()


def _remove_dead_workers(folder: Path) -> None:
    """Remove the gauges of workers that have ended. Their counters still count."""
    for path in folder.glob("gauge_live*.db"):
        pid = int(path.stem.rpartition("_")[2])
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            with suppress(FileNotFoundError):  # another worker has removed it
                mark_process_dead(pid, str(folder))
        except PermissionError:
            continue
