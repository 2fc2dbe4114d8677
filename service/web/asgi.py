"""The types of an ASGI application, and two that answer: with encoded bytes, with a refusal."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from service.web.problems import problem

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class EncodedResponse:
    """An ASGI application that answers with a body that is encoded already."""

    def __init__(self, status: int, body: bytes, media_type: str, *headers: tuple[bytes, bytes]):
        self.status, self.body = status, body
        self.headers = [
            (b"content-type", media_type.encode()),
            (b"content-length", str(len(body)).encode()),
            *headers,
        ]

    async def __call__(self, _scope: Any, _receive: Any, send: Any) -> None:
        """Send the response."""
        start = {"type": "http.response.start", "status": self.status, "headers": self.headers}
        await send(start)
        await send({"type": "http.response.body", "body": self.body})


class Refusal(EncodedResponse):
    """An ASGI application that answers every request with the same problem, encoded once."""

    def __init__(self, status: int, detail: str, *headers: tuple[bytes, bytes]):
        response = problem(status, detail, {}, {})
        super().__init__(status, response.content, str(response.media_type), *headers)
        self.detail = detail
