"""HEAD as GET without a body, and an Allow header with every method of a path (RFC 9110).

The framework refuses HEAD on routes of GET, and its Allow lacks methods of paths that have several
handlers.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Mapping
from typing import Any

from litestar.routes import BaseRoute
from litestar.types import Method

from service.web.asgi import App, Receive, Scope, Send

_IS_HEAD = "hirebase.is_head"


def is_head(scope: Mapping[str, Any]) -> bool:
    """Whether the client asks only for the headers of a reply, so that no body need be made."""
    return _IS_HEAD in scope


def answering_head(app: App) -> App:
    """The application, which answers HEAD with the status and the headers of GET."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "HEAD":
            await _headers(app, scope, receive, send)
        else:
            await app(scope, receive, send)

    return answer


async def _headers(app: App, scope: Scope, receive: Receive, send: Send) -> None:
    # A copy, because the server looks at the method to leave out the body.
    as_get, is_sent = {**scope, "method": "GET", _IS_HEAD: True}, False

    async def receive_unless_sent() -> Any:
        # A stream ends when its client disconnects.
        return {"type": "http.disconnect"} if is_sent else await receive()

    async def send_headers(message: Any) -> None:
        nonlocal is_sent
        if message["type"] == "http.response.start":
            is_sent = True
            await send(message)

    try:
        await app(as_get, receive_unless_sent, send_headers)
    finally:
        scope.update(as_get, method="HEAD")  # the log takes the route and the user from it
    await send({"type": "http.response.body", "body": b""})


def naming_methods(app: App, routes: Iterable[BaseRoute]) -> App:
    """The application, whose Allow header names all methods of a path, and HEAD beside GET."""
    methods = {route.path_format: route.methods for route in routes}

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        def send_with_methods(message: Any) -> Awaitable[None]:
            if message["type"] == "http.response.start" and (
                message["status"] == 405 or scope["method"] == "OPTIONS"
            ):
                # Without a route for the method, the framework names all others.
                known = methods.get(scope.get("path_template", ""))
                message["headers"] = [_named(known, *header) for header in message["headers"]]
            return send(message)

        await app(scope, receive, send_with_methods)

    return answer


def _named(known: set[Method] | None, name: bytes, value: bytes) -> tuple[bytes, bytes]:
    """A header; Allow with the methods that are known, or with its own."""
    if name != b"allow":
        return name, value
    names = set(known or value.decode().split(", "))
    return name, ", ".join(sorted(names | ({"HEAD"} if "GET" in names else set()))).encode()
