"""The tables: a page of rows, and a row."""

from __future__ import annotations

from litestar import get
from litestar.params import FromPath
from litestar.response import Template

from service.core.tables import by_name, by_path
from service.web.api.parameters import After, InjectedDatabase
from service.web.api.rows import find_row
from service.web.api.tables.lists import list_rows
from service.web.console.html import PAGE, AnyRequest, page


@get("/console/tables/{table:str}")
async def rows(
    request: AnyRequest, database: InjectedDatabase, table: FromPath[str], after: After = 0
) -> Template:
    listed = by_path(table)
    found = await list_rows(database, listed, after, PAGE)
    return page(request, "rows.html", table=listed, after=after, **found)


@get("/console/tables/{table:str}/{row_id:int}")
async def row(
    request: AnyRequest, database: InjectedDatabase, table: FromPath[str], row_id: FromPath[int]
) -> Template:
    owner = by_path(table)
    found = await find_row(database, owner, row_id)
    parents = {field.name: by_name(field.references or "").path for _, field in owner.parents}
    return page(request, "row.html", table=owner, row=found, parents=parents)
