"""The id, the log line and the metrics of each request."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Awaitable
from functools import cache
from typing import Any

import structlog

from service.web.asgi import App, Receive, Scope, Send
from service.web.problems import ClientGone
from service.web.traffic.metrics import Metrics

REQUEST_ID = b"x-request-id"
UNKNOWN = "(none)"
"""The label of requests without a route. A path is no label: clients can invent any number."""


_usable = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}").fullmatch
_log = structlog.get_logger("hirebase.request")


class RequestLog:
    """An ASGI application whose requests are logged and counted."""

    def __init__(self, app: App, metrics: Metrics):
        self._app = app
        self._duration = cache(metrics.requests.labels)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; log and count it when it has ended."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        name, started, status, complete = _request_id(scope), time.perf_counter(), 0, False

        async def receive_or_raise() -> Any:
            nonlocal complete
            message = await receive()
            if message["type"] == "http.disconnect" and not (complete or status):
                raise ClientGone
            complete = complete or not message.get("more_body")
            return message

        def send_with_id(message: Any) -> Awaitable[None]:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (REQUEST_ID, name.encode())]
            return send(message)

        # Each request has its own task, so nothing has to be unbound.
        structlog.contextvars.bind_contextvars(request_id=name)
        try:
            await self._app(scope, receive_or_raise, send_with_id)
        finally:
            self._record(scope, status, time.perf_counter() - started)

    def _record(self, scope: Scope, status: int, seconds: float) -> None:
        route = scope.get("path_template") or UNKNOWN
        method = scope["method"]
        self._duration(route, method, status).observe(seconds)
        _log.info(
            "request",
            method=method,
            route=route,
            status=status,
            milliseconds=round(seconds * 1000, 1),
            user=scope.get("user"),
        )


def _request_id(scope: Scope) -> str:
    sent: bytes = dict(scope["headers"]).get(REQUEST_ID, b"")
    text = sent.decode("latin-1")
    return text if _usable(text) else os.urandom(16).hex()
