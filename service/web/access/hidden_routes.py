"""What no route answers, behind credentials too: which paths there are is not for strangers."""

from __future__ import annotations

from typing import Any, cast

from litestar import Request
from litestar.exceptions import HTTPException

from service.web import problems
from service.web.access.basic_auth import user_of
from service.web.asgi import App, Receive, Scope, Send

OPEN_PATH = "/health"
"""Open to all."""


class HiddenRoutes:
    """An ASGI application that says 404 and 405 to its users alone.

    The framework asks for credentials once it has found a route, and here it has found none.
    """

    def __init__(self, app: App):
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; a reply that is by no route, to those who may know."""
        refusal: App | None = None

        async def tell(message: Any) -> None:
            nonlocal refusal
            if message["type"] == "http.response.start" and _is_closed(scope):
                refusal = await _refusal(scope)
                if refusal:
                    await refusal(scope, receive, send)
            if not refusal:
                await send(message)

        await self._app(scope, receive, tell)


def _is_closed(scope: Scope) -> bool:
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
