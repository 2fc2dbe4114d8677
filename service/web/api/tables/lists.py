"""`GET /{table}`: a page of a list as JSON, or the whole list as a file."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import msgspec
from litestar import Request
from litestar.datastructures import State
from litestar.response.base import ASGIResponse

from service.core.database.transactions import Database
from service.core.errors import ParameterError
from service.core.reads import pages
from service.core.reads.filters import filters_of
from service.core.reads.parents import parents_of
from service.core.reads.query import Texts, limit_of, query_of, read_all
from service.core.tables import Table
from service.web.api.parameters import texts_of
from service.web.api.tables import exports

ANY_LIST = ("after", "limit", "order", "count", "format", "formulas")
"""The parameters of every list."""


def parameters(table: Table) -> tuple[str, ...]:
    """The parameters of a list that its handler reads itself."""
    expand = ("expand",) if parents_of(table) else ()
    return (*ANY_LIST, *expand, *filters_of(table))


def repeatable(table: Table) -> tuple[str, ...]:
    """Those that may have several values."""
    return ("expand", *(one.name for one in filters_of(table).values() if one.most > 1))


async def answer(table: Table, request: Request[Any, Any, Any], state: State) -> ASGIResponse:
    """The list in the media type that the client prefers."""
    texts = texts_of(request)
    media_type = exports.media_type_of(request, texts)
    if media_type in exports.FORMS:
        return await exports.rows(table, request, state, media_type, texts)
    return await _page(table, request, texts, state.database)


async def _page(
    table: Table, request: Request[Any, Any, Any], texts: Texts, database: Database
) -> ASGIResponse:
    query, limit, exact, _ = read_all(
        lambda: query_of(table, texts),
        lambda: limit_of(texts),
        lambda: wants_count(texts),
        lambda: exports.refuse_formulas(texts),
    )
    page = await pages.page(database, query, limit)
    body: dict[str, Any] = {"rows": page.rows, "next": page.next}
    if exact:
        body["count"] = await pages.count(database, query)
    return page_reply(request, body)


def page_reply(request: Request[Any, Any, Any], page: dict[str, Any]) -> ASGIResponse:
    """A page in JSON, with a link to the next one."""
    headers = {"Vary": "Accept"}
    if page["next"] is not None:
        headers["Link"] = _link(request, page["next"])
    return ASGIResponse(body=msgspec.json.encode(page), media_type=exports.JSON, headers=headers)


def wants_count(texts: Texts) -> bool:
    """Whether the rows of all pages are to be counted; ParameterError."""
    if texts.get("count", ["exact"]) != ["exact"]:
        raise ParameterError({"count": "must be exact, or be left out"})
    return "count" in texts


def _link(request: Request[Any, Any, Any], after: int | str) -> str:
    """The next page, relative to this one, so that it is right behind any proxy."""
    given = request.query_params.multi_items()
    kept = [(name, text) for name, text in given if name != "after"]
    return f'<?{urlencode([*kept, ("after", after)])}>; rel="next"'
