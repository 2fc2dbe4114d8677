"""The routes of a table: batches in, lists and single rows out."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Request, Response, Router, get, post

from service.core import batch, intake
from service.core.errors import NotFoundError
from service.core.fields import MAX_ID
from service.core.intake import Verdict
from service.core.store import Origin
from service.core.tables import Table
from service.web import operations
from service.web.parameters import PAGE, After, Limit, RowId, TheDatabase
from service.web.problems import problem


def routes(table: Table) -> Router:
    """`POST`, `GET` and `GET /{id}` of one table."""

    @post(
        "/",
        operation_id=f"insert_{table.path}",
        summary=f"Insert 1–1000 {table.path}",
        operation_class=operations.inserts(table),
    )
    async def insert(request: Request[Any, Any, Any], database: TheDatabase) -> Response[bytes]:
        if not _is_json(request.headers.get("Content-Type", "")):
            return problem(415, "Send the rows as application/json.", {}, {})
        judged = batch.from_json(table, await request.body())
        origin = Origin("api", f"POST /{table.path}")
        return _reply(await intake.submit(database, judged, origin))

    @get(
        "/",
        operation_id=f"list_{table.path}",
        summary=f"List {table.path} by id",
        operation_class=operations.lists(table),
    )
    async def page(database: TheDatabase, after: After = 0, limit: Limit = PAGE) -> dict[str, Any]:
        rows = await database.fetch(table.sql["page"], (after, limit))
        following = rows[-1][0] if len(rows) == limit else None
        return {"rows": [table.as_object(row) for row in rows], "next": following}

    @get(
        "/{row_id:int}",
        operation_id=f"get_{table.path}",
        summary=f"One of {table.path}",
        operation_class=operations.shows(table),
    )
    async def one(database: TheDatabase, row_id: RowId) -> dict[str, Any]:
        rows = await database.fetch(table.sql["find"], (row_id,)) if row_id <= MAX_ID else ()
        if not rows:
            raise NotFoundError(f"There is no row {row_id} in {table.path}.")
        return table.as_object(rows[0])

    return Router(f"/{table.path}", route_handlers=[insert, page, one], tags=[table.path])


def _is_json(content_type: str) -> bool:
    kind = content_type.partition(";")[0].strip().lower()
    return kind in ("", "application/json") or kind.endswith("+json")


def _reply(verdict: Verdict) -> Response[bytes]:
    body = {
        "received": verdict.received,
        "inserted": verdict.inserted,
        "failed": len(verdict.rejects),
        "ids": verdict.ids,
        "failures": [reject.as_failure() for reject in verdict.rejects],
    }
    return Response(
        msgspec.json.encode(body), status_code=_status(verdict), media_type="application/json"
    )


def _status(verdict: Verdict) -> int:
    if not verdict.rejects:
        return 201
    return 207 if verdict.inserted else 422
