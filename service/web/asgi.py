"""The types of an ASGI application, and one that refuses requests."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from service.web.problems import problem

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class Refusal:
    """An ASGI application that answers every request with the same problem, encoded once."""

    def __init__(self, status: int, detail: str, *headers: tuple[bytes, bytes]):
        response = problem(status, detail, {}, {})
        self.status, self.detail = status, detail
        self.body: bytes = response.content
        self.headers = [
            (b"content-type", str(response.media_type).encode()),
            (b"content-length", str(len(self.body)).encode()),
            *headers,
        ]

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        """Send the problem."""
        start = {"type": "http.response.start", "status": self.status, "headers": self.headers}
        await send(start)
        await send({"type": "http.response.body", "body": self.body})
