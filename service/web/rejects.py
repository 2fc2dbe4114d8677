"""What was not inserted, from every way in."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from litestar import Router, get
from litestar.params import FromQuery, QueryParameter

from service.core import store
from service.core.tables import by_path
from service.web import operations
from service.web.parameters import PAGE, After, Limit, TheDatabase

COLUMNS = ("id", "rejected_at", "source", "origin", "table", "position", "record", "errors")


@get(
    "/",
    operation_id="list_rejects",
    summary="What was not inserted, and why",
    operation_class=operations.REJECTS,
)
async def page(
    database: TheDatabase,
    table: Annotated[
        str | None, QueryParameter(description="departments, jobs or employees")
    ] = None,
    source: FromQuery[Literal["api", "loader", "restore"] | None] = None,
    after: After = 0,
    limit: Limit = PAGE,
) -> dict[str, Any]:
    name = by_path(table).name if table else None
    parameters = (after, name, name, source, source, limit)
    rows = await database.fetch(store.REJECTS["page"], parameters)
    following = rows[-1][0] if len(rows) == limit else None
    return {"rows": [as_object(row) for row in rows], "next": following}


def as_object(row: tuple[Any, ...]) -> dict[str, Any]:
    """A reject as it is shown."""
    reject = dict(zip(COLUMNS, row, strict=True))
    reject["rejected_at"] += "Z"
    reject["errors"] = msgspec.json.decode(reject["errors"])
    return reject


rejects = Router("/rejects", route_handlers=[page], tags=["rejects"])
