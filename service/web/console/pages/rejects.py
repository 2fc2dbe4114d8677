"""The page of rejected rows."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

import msgspec
from litestar import get
from litestar.params import FromQuery, QueryParameter
from litestar.response import Template

from service.core.database.transactions import Database
from service.core.rules.fields import Code
from service.core.tables import by_path
from service.core.writes.rejects import REJECTS
from service.web.api.parameters import MAX_AFTER, InjectedDatabase
from service.web.api.rejects import as_object
from service.web.console.html import PAGE, AnyRequest, page

Source = Literal["api", "loader", "restore", ""]
Before = Annotated[int | None, QueryParameter(ge=1, le=MAX_AFTER)]
SHOWN = 1000
"""Most characters of a record, and of its errors as JSON; `/rejects/{id}` has all."""


@get("/console/rejects")
async def rejects(
    request: AnyRequest,
    database: InjectedDatabase,
    table: FromQuery[str] = "",
    source: FromQuery[Source] = "",
    code: FromQuery[str] = "",
    before: Before = None,
) -> Template:
    name = by_path(table).name if table else None
    latest = await latest_rejects(
        database, before or MAX_AFTER, PAGE, name, source or None, code or None
    )
    return page(
        request,
        "rejects.html",
        rejects=latest,
        filters={"table": table, "source": source, "code": code},
        codes=get_args(Code),
        following=latest[-1]["id"] if len(latest) == PAGE else None,
    )


async def latest_rejects(
    database: Database,
    before: int,
    limit: int,
    table: str | None = None,
    source: str | None = None,
    code: str | None = None,
) -> list[dict[str, Any]]:
    """The newest rejects below the number `before`."""
    error = msgspec.json.encode({"code": code}).decode() if code else None
    parameters = (SHOWN, SHOWN, before, table, table, source, source, error, error, limit)
    return [as_object(one) for one in await database.fetch(REJECTS["latest"], parameters)]
