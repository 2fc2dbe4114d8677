"""Refuses excess batches at the lowest cost: under overload most of the work is refusing."""

from __future__ import annotations

from service.core.tables import TABLES
from service.web.asgi import App, Receive, Scope, Send
from service.web.problems import RETRY_SECONDS, problem
from service.web.traffic.limiter import Limiter

PATHS = {f"/{table.path}" for table in TABLES}


class LoadShedding:
    """An ASGI application that refuses batches while the limiter has no place.

    It does so before it checks credentials and before it reads the body.
    """

    def __init__(self, app: App, limiter: Limiter):
        self._app = app
        self._limiter = limiter
        refusal = problem(503, str(limiter.refusal), {}, {})
        self._body: bytes = refusal.content
        self._headers = [
            (b"content-type", str(refusal.media_type).encode()),
            (b"content-length", str(len(self._body)).encode()),
            (b"retry-after", RETRY_SECONDS.encode()),
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or pass on."""
        if _is_batch(scope) and self._limiter.refuses():
            scope["path_template"] = _path(scope)
            start = {"type": "http.response.start", "status": 503, "headers": self._headers}
            await send(start)
            await send({"type": "http.response.body", "body": self._body})
        else:
            await self._app(scope, receive, send)


def _is_batch(scope: Scope) -> bool:
    return scope["type"] == "http" and scope["method"] == "POST" and _path(scope) in PATHS


def _path(scope: Scope) -> str:
    return str(scope["path"]).rstrip("/")
