"""The console's place in the application."""

from __future__ import annotations

from litestar import Router
from litestar.static_files import create_static_files_router

from service.web.console.actions import ACTIONS
from service.web.console.html import ERRORS, STATIC
from service.web.console.pages import PAGES

console = Router(
    "/",
    route_handlers=[
        *PAGES,
        Router("/console", route_handlers=ACTIONS),
        create_static_files_router("/console/static", [STATIC]),
    ],
    exception_handlers=ERRORS,
    include_in_schema=False,
)
