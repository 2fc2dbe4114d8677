"""Routes for monitoring: probes, which need no credentials, and metrics."""

from __future__ import annotations

from litestar import Response, Router, get
from litestar.datastructures import State
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from service.web.access.basic_auth import PUBLIC
from service.web.access.hidden_routes import OPEN_PATH
from service.web.api.parameters import InjectedDatabase
from service.web.openapi import operations


@get(
    "/live",
    operation_id="live",
    summary="The process responds",
    operation_class=operations.LIVE,
)
async def live() -> dict[str, str]:
    return {"status": "alive"}


@get(
    "/ready",
    operation_id="ready",
    summary="The database responds too",
    operation_class=operations.READY,
)
async def ready(database: InjectedDatabase, state: State) -> dict[str, str]:
    state.draining.check()
    await database.ping()
    return {"status": "ready"}


@get(
    "/metrics",
    operation_id="metrics",
    summary="Metrics for Prometheus",
    operation_class=operations.METRICS,
    tags=["metrics"],
)
async def metrics(state: State) -> Response[bytes]:
    state.metrics.update_gauges(state.replicas)
    return Response(state.metrics.render(), media_type=CONTENT_TYPE_LATEST)


health = Router(OPEN_PATH, route_handlers=[live, ready], tags=["health"], opt={PUBLIC: True})
