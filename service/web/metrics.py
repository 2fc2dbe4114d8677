"""What Prometheus is told; a registry an application."""

from __future__ import annotations

from litestar import Response, Router, get
from litestar.datastructures import State
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from service.core.database import Database
from service.core.intake import Verdict
from service.core.tables import Table
from service.web import operations

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class Metrics:
    """The service's figures since it started."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Histogram(
            "hirebase_request_seconds",
            "Requests by route template, method and status.",
            ["route", "method", "status"],
            registry=self.registry,
            buckets=SECONDS,
        )
        self.inserted = Counter(
            "hirebase_rows_inserted", "Rows written.", ["table"], registry=self.registry
        )
        self.rejected = Counter(
            "hirebase_rows_rejected",
            "Errors of rows that were not written.",
            ["table", "code"],
            registry=self.registry,
        )
        self.batch = Histogram(
            "hirebase_batch_seconds",
            "A batch's time: decoding and judging it, or writing it.",
            ["part"],
            registry=self.registry,
            buckets=SECONDS,
        )

    def watch(self, database: Database) -> None:
        """Figures that the database knows at any time."""
        for name, text, read in (
            ("pool_connections", "Connections open.", lambda: database.pool.size),
            ("pool_free", "Connections open and idle.", lambda: database.pool.freesize),
            ("pool_waiting", "Those waiting for a connection.", lambda: database.pool.waiting),
            ("retries", "Transactions run again after a conflict.", lambda: database.retries),
            ("snapshot_seconds", "Age of the oldest open snapshot.", database.snapshot_age),
        ):
            Gauge(f"hirebase_{name}", text, registry=self.registry).set_function(read)

    def count(self, table: Table, verdict: Verdict) -> None:
        """What became of a batch."""
        self.inserted.labels(table.name).inc(verdict.inserted)
        for reject in verdict.rejects:
            for error in reject.errors:
                self.rejected.labels(table.name, error.code).inc()


@get(
    "/",
    operation_id="metrics",
    summary="Figures for Prometheus",
    operation_class=operations.FIGURES,
)
async def show(state: State) -> Response[bytes]:
    return Response(generate_latest(state.metrics.registry), media_type=CONTENT_TYPE_LATEST)


metrics = Router("/metrics", route_handlers=[show], tags=["metrics"])
