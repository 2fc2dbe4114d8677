"""The page of a table: search, sort, count and export its rows."""

from __future__ import annotations

from litestar import get
from litestar.params import FromPath
from litestar.response import Template

from service.core.database.transactions import Database
from service.core.reads import pages, paths
from service.core.reads.orders import orders_of
from service.core.reads.pages import Counted, Page
from service.core.tables import by_path
from service.web.api.parameters import PARAMETERS, REPEATABLE, InjectedDatabase, texts_of
from service.web.api.tables.lists import wants_count
from service.web.console.html import PAGE, AnyRequest, page
from service.web.console.pages import search as searches
from service.web.console.pages.columns import Column, columns_of
from service.web.console.pages.search import Search, search_of


@get(
    "/console/tables/{table:str}",
    opt={PARAMETERS: searches.PARAMETERS, REPEATABLE: searches.REPEATABLE},
)
async def rows(request: AnyRequest, database: InjectedDatabase, table: FromPath[str]) -> Template:
    listed = by_path(table)
    search = await search_of(database, listed, texts_of(request))
    found, counted = await _found(database, search)
    shown = page(
        request,
        "rows.html",
        table=listed,
        search=search,
        columns=[(column, *_sort(search, column)) for column in columns_of(listed)],
        rows=found.rows,
        next=found.next,
        counted=counted,
        scan=paths.SCAN,
    )
    shown.status_code = 400 if search.invalid else 200
    return shown


async def _found(database: Database, search: Search) -> tuple[Page, Counted]:
    """A page of what is searched, and how many rows there are."""
    if search.invalid or search.unmatched:
        return Page([], None), Counted(0, complete=True)
    query = search.query
    if wants_count(search.given):
        found = await pages.page(database, query, PAGE)
        return found, Counted(await pages.count(database, query), complete=True)
    return await pages.page_and_count(database, query, PAGE)


def _sort(search: Search, column: Column) -> tuple[str, str]:
    """(aria-sort, address of the other order) of a column; empty if no order begins with it."""
    name = column.field.name
    if name not in orders_of(search.table):
        return "", ""
    sorts = {name: "ascending", f"-{name}": "descending"}
    other = f"-{name}" if search.order == name else name
    return sorts.get(search.order, "none"), search.link(order=other)
