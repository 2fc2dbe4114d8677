"""Refuses excess batches at the lowest cost, because an overloaded service refuses most of them."""

from __future__ import annotations

from service.core.tables import TABLES
from service.web.asgi import App, Receive, Refusal, Scope, Send
from service.web.problems import RETRY_SECONDS
from service.web.traffic.limiter import Limiter

PATHS = {f"/{table.path}" for table in TABLES}


def shedding(app: App, limiter: Limiter) -> App:
    """The application behind a limit: 503 for batches while the limiter has no place.

    The limit applies before credentials are checked and before the body is read.
    """
    refusal = Refusal(503, str(limiter.refusal), (b"retry-after", RETRY_SECONDS.encode()))

    async def shed(scope: Scope, receive: Receive, send: Send) -> None:
        refused = _is_batch(scope) and limiter.refuses()
        if refused:
            scope["path_template"] = _path(scope)
        await (refusal if refused else app)(scope, receive, send)

    return shed


def _is_batch(scope: Scope) -> bool:
    return scope["type"] == "http" and scope["method"] == "POST" and _path(scope) in PATHS


def _path(scope: Scope) -> str:
    return str(scope["path"]).rstrip("/")
