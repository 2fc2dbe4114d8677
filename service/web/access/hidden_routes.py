"""Requires credentials before 404 and 405, so that anonymous clients cannot discover routes."""

from __future__ import annotations

from typing import Any, cast

from litestar import Request
from litestar.exceptions import HTTPException

from service.web import problems
from service.web.access.basic_auth import user_of
from service.web.asgi import App, Receive, Scope, Send

OPEN_PATH = "/health"
"""The prefix of the routes that need no credentials."""


def hiding_routes(app: App) -> App:
    """The application, which answers 404 and 405 only to valid credentials.

    The framework checks credentials after it has found a route. Here it has found none.
    """

    async def check(scope: Scope, receive: Receive, send: Send) -> None:
        refusal: App | None = None

        async def send_if_allowed(message: Any) -> None:
            nonlocal refusal
            if message["type"] == "http.response.start" and _needs_credentials(scope):
                refusal = await _refusal(scope)
                if refusal:
                    await refusal(scope, receive, send)
            if not refusal:
                await send(message)

        await app(scope, receive, send_if_allowed)

    return check


def _needs_credentials(scope: Scope) -> bool:
    return "route_handler" not in scope and not scope["path"].startswith(f"{OPEN_PATH}/")


async def _refusal(scope: Scope) -> App | None:
    typed: Any = scope
    request: Request[Any, Any, Any] = Request(typed)
    try:
        await user_of(request)
    except HTTPException as error:
        reply: Any = problems.of_http(request, error).to_asgi_response(None, request)
        return cast("App", reply)
    return None
