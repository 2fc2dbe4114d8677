"""`GET /{table}`: a page of a list as JSON."""

from __future__ import annotations

from collections import defaultdict
from typing import Any
from urllib.parse import urlencode

import msgspec
from litestar import Request, Response

from service.core.database.transactions import Database
from service.core.errors import ParameterError
from service.core.reads import pages
from service.core.reads.filters import filters_of
from service.core.reads.parents import parents_of
from service.core.reads.query import Query, query_of
from service.core.tables import Table

ANY_LIST = ("after", "order", "count")
"""The parameters of every list besides `limit`."""


def parameters(table: Table) -> tuple[str, ...]:
    """The parameters of a list that its handler reads itself."""
    expand = ("expand",) if parents_of(table) else ()
    return (*ANY_LIST, *expand, *filters_of(table))


def repeatable(table: Table) -> tuple[str, ...]:
    """Those that may have several values."""
    return ("expand", *(one.name for one in filters_of(table).values() if one.most > 1))


async def page_of(
    table: Table, request: Request[Any, Any, Any], database: Database, limit: int
) -> Response[bytes]:
    """A page, with a link to the next one."""
    texts = _texts(request)
    query, exact = query_of(table, texts), _wants_count(texts)
    page = await pages.page(database, query, limit)
    body: dict[str, Any] = {"rows": page.rows, "next": page.next}
    if exact:
        body["count"] = await pages.count(database, query)
    headers = {} if page.next is None else {"Link": _link(request, page.next)}
    return Response(msgspec.json.encode(body), media_type="application/json", headers=headers)


async def list_rows(database: Database, table: Table, after: int, limit: int) -> dict[str, Any]:
    """Rows of a table by id, and the `after` of the next page, None on the last."""
    query: Query = query_of(table, {"after": [str(after)]})
    page = await pages.page(database, query, limit)
    return {"rows": page.rows, "next": page.next}


def _texts(request: Request[Any, Any, Any]) -> dict[str, list[str]]:
    """The values of each parameter."""
    texts = defaultdict(list)
    for name, text in request.query_params.multi_items():
        texts[name].append(text)
    return texts


def _wants_count(texts: dict[str, list[str]]) -> bool:
    if texts.get("count", ["exact"]) != ["exact"]:
        raise ParameterError("count", "must be exact, or be left out")
    return "count" in texts


def _link(request: Request[Any, Any, Any], after: int | str) -> str:
    """The next page, relative to this one, so that it is right behind any proxy."""
    given = request.query_params.multi_items()
    kept = [(name, text) for name, text in given if name != "after"]
    return f'<?{urlencode([*kept, ("after", after)])}>; rel="next"'
