"""Pages of the console, and errors as pages."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jinja2
import msgspec
from litestar import Request, Response
from litestar.plugins.jinja import JinjaTemplateEngine
from litestar.response import Template
from litestar.template import TemplateConfig

from service import __version__
from service.core.tables import TABLES
from service.web import problems
from service.web.access.cross_site import HEADERS

AnyRequest = Request[Any, Any, Any]
Handler = Callable[[Request[Any, Any, Any], Any], Response[Any]]

HERE = Path(__file__).parent
STATIC = HERE / "static"
PAGE = 50
"""Rows of a page."""

ADVICE = {
    400: "Check the address.",
    401: "Reload the page and type the user name and password of this service.",
    403: "Ask the operator for a user that has this role.",
    404: "It may have been deleted, or its address has a typing error.",
    429: "Wait a minute, then reload.",
    503: "The database is not available or busy. Reload in a moment. If that does not help, check "
    "that the database is running.",
}
"""What the user can do, by status."""


def engine() -> TemplateConfig[Any]:
    """Strict templates: an undefined variable is an error, and every value is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = "{:,}".format
    environment.filters["moment"] = moment
    environment.filters["cell"] = cell
    return TemplateConfig(instance=JinjaTemplateEngine(engine_instance=environment))


def cell(value: Any) -> Any:
    """A value of a row in a table: NULL is empty, booleans are as in JSON."""
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else value


def page(request: Request[Any, Any, Any], name: str, **context: Any) -> Template:
    """A page of the console."""
    common = {
        "tables": TABLES,
        "path": request.scope["path"],
        "user": request.scope.get("user"),
        "roles": request.scope.get("auth") or frozenset(),
        "version": __version__,
    }
    return Template(name, context=common | context, headers=HEADERS, media_type="text/html")


def moment(seconds: float) -> str:
    """A Unix time as date and time in UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _as_page(handle: Handler) -> Handler:
    """A handler of errors that answers with a page if the client accepts HTML."""

    def handle_as_page(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
        problem = handle(request, error)
        if "text/html" not in request.headers.get("Accept", ""):
            return problem
        details = msgspec.json.decode(problem.content)
        advice = ADVICE.get(details["status"], "Go back and try again.")
        template = page(request, "error.html", problem=details, advice=advice)
        template.status_code = problem.status_code
        template.headers.update(problem.headers)
        template.headers.update(HEADERS)
        return template

    return handle_as_page


ERRORS = {
    kind: _as_page(handle)
    for kind, handle in problems.HANDLERS.items()
    if kind is not problems.ClientGone
}
