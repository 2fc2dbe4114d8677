"""GET /metrics."""

from __future__ import annotations

from litestar import Response, Router, get
from litestar.datastructures import State
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from service.web.openapi import operations


@get(
    "/",
    operation_id="metrics",
    summary="Metrics for Prometheus",
    operation_class=operations.METRICS,
)
async def show(state: State) -> Response[bytes]:
    state.metrics.update_gauges(state.replicas)
    return Response(state.metrics.render(), media_type=CONTENT_TYPE_LATEST)


metrics = Router("/metrics", route_handlers=[show], tags=["metrics"])
