"""Requires credentials before 404 and 405, so that anonymous clients cannot discover routes."""

from __future__ import annotations

from litestar.types import ASGIApp, Receive, Scope, Send

from service.web.access.basic_auth import user_of

OPEN_PATH = "/health"
"""The prefix of the routes that need no credentials."""


def hiding_routes(router: ASGIApp) -> ASGIApp:
    """A router, which raises 404 and 405 only for valid credentials; else 401 or 429.

    The framework checks credentials after it has found a route. Here it has found none.
    """

    async def check(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await router(scope, receive, send)
        except Exception:
            if "route_handler" not in scope and not scope["path"].startswith(f"{OPEN_PATH}/"):
                await user_of(scope)
            raise

    return check
