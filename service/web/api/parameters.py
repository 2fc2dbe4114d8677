"""Parameters that several handlers share: the database, ids, pages, dry runs.

StrictQuery refuses query parameters that a handler does not know.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Annotated, Any

from litestar.connection import ASGIConnection
from litestar.di import NamedDependency
from litestar.exceptions import ValidationException
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, QueryParameter
from litestar.routes import HTTPRoute
from litestar.types import ASGIApp, Receive, Scope, Send

from service.core.database.transactions import Database
from service.core.rules.batch import MAX_ROWS
from service.core.rules.fields import MAX_LONG

SHOWN, FEW = 100, 10
"""An error repeats this many characters of a name, and this many names."""

PARAMETERS, REPEATABLE = "parameters", "repeatable"
"""The opt keys of query parameters that a handler reads itself, and that may be repeated."""

InjectedDatabase = NamedDependency[Database]
InjectedReader = NamedDependency[Database]
"""A replica, or the database: for reads that decide about no write."""
TableName = FromPath[str]
RowId = FromPath[int]
After = Annotated[int, QueryParameter(ge=0, le=MAX_LONG, description="rows with a larger id")]
Limit = Annotated[int, QueryParameter(ge=1, le=MAX_ROWS, description="the most rows in a page")]
DryRun = Annotated[
    bool, QueryParameter(name="dry_run", description="report the result without changing anything")
]


def texts_of(connection: ASGIConnection[Any, Any, Any, Any]) -> dict[str, list[str]]:
    """The values of each query parameter."""
    texts: dict[str, list[str]] = {}
    for name, text in connection.query_params.multi_items():
        texts.setdefault(name, []).append(text)
    return texts


class StrictQuery:
    """Answers 400 if a query parameter is unknown to the handler, or is sent twice.

    A handler knows the parameters of its signature, of its dependencies, and those of its opt.
    """

    def __init__(self) -> None:
        self._known: dict[HTTPRouteHandler, tuple[str, ...]] = {}

    def __call__(self, app: ASGIApp) -> ASGIApp:
        """A handler behind the check."""

        async def check(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["query_string"]:
                self._check(ASGIConnection(scope))
            await app(scope, receive, send)

        return check

    def _check(self, connection: ASGIConnection[Any, Any, Any, Any]) -> None:
        if not connection.scope["query_string"].isascii():
            raise ValidationException("The query has bytes beyond ASCII. Percent-encode them.")
        known = self._known_to(connection)
        given = Counter(name for name, _ in connection.query_params.multi_items())
        if unknown := [name for name in given if name not in known]:
            raise _refusal(unknown, f"is not known here. {_list(known)}")
        lists = connection.route_handler.opt.get(REPEATABLE, ())
        if repeated := [name for name in given if given[name] > 1 and name not in lists]:
            raise _refusal(repeated, "is sent more than once. Send it once.")

    def _known_to(self, connection: ASGIConnection[Any, Any, Any, Any]) -> tuple[str, ...]:
        if not self._known:
            self._known = dict(_parameters(connection.app.routes))
        return self._known[connection.route_handler]


def _parameters(routes: Iterable[Any]) -> Iterable[tuple[HTTPRouteHandler, tuple[str, ...]]]:
    """Each handler with the names of its query parameters."""
    for route in routes:
        if isinstance(route, HTTPRoute):
            for handler, model in route.route_handler_map.values():
                names = {parameter.field_alias for parameter in model.expected_query_params}
                yield handler, tuple(sorted(names.union(handler.opt.get(PARAMETERS, ()))))


def _refusal(names: Iterable[str], what: str) -> ValidationException:
    shown = [name[:SHOWN] for name in names][:FEW]
    return ValidationException(
        f"Query parameter {shown[0]!r} {what}",
        extra=[{"key": name, "source": "query", "message": what} for name in shown],
    )


def _list(names: tuple[str, ...]) -> str:
    return f"Known: {', '.join(names)}." if names else "This route has none."
