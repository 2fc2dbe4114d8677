"""The routes of a table: insert batches, find rows, get, change and delete a row."""

from __future__ import annotations

from typing import Any

from litestar import Request, Router, delete, get, patch, post
from litestar.datastructures import State
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromQuery
from litestar.response.base import ASGIResponse

from service.core.database.transactions import Database
from service.core.reads.pages import find_row
from service.core.reads.query import PAGE
from service.core.rules import formats
from service.core.rules.fields import MAX_ID
from service.core.tables import Table
from service.core.writes.ingest import Mode
from service.core.writes.row_changes import RowChange, changes_after
from service.web.access.basic_auth import ROLE
from service.web.api.batches import Post
from service.web.api.parameters import (
    PARAMETERS,
    REPEATABLE,
    After,
    DryRun,
    InjectedDatabase,
    Limit,
    RowId,
)
from service.web.api.tables import changes, lists
from service.web.asgi import EncodedResponse
from service.web.openapi import lists as listed
from service.web.openapi import operations, rows
from service.web.traffic.load_shedding import size_of


def routes(table: Table) -> Router:
    """The routes of one table, and of its single rows."""
    of_rows = [_one(table), _change(table), _delete(table), _history(table)]
    handlers = [_insert(table), _page(table), *of_rows]
    return Router(f"/{table.path}", route_handlers=handlers, tags=[table.path])


def _insert(table: Table) -> HTTPRouteHandler:
    @post(
        "/",
        operation_id=f"insert_{table.path}",
        summary=f"Insert 1–1000 {table.path}",
        operation_class=operations.inserts(table),
        request_max_body_size=formats.MAX_BYTES,
        opt={ROLE: "writer"},
    )
    async def insert(
        request: Request[Any, Any, Any],
        mode: FromQuery[Mode] = "partial",
        dry_run: DryRun = False,
    ) -> EncodedResponse:
        body, state = await request.body(), request.app.state
        with state.batch_limiter.place(size_of(request.scope["headers"])):
            return await Post(table, request, body, mode, dry_run).answer(state)

    return insert


def _page(table: Table) -> HTTPRouteHandler:
    @get(
        "/",
        operation_id=f"list_{table.path}",
        summary=f"Find {table.path}",
        operation_class=listed.lists(table),
        opt={PARAMETERS: lists.parameters(table), REPEATABLE: lists.repeatable(table)},
    )
    async def page(request: Request[Any, Any, Any], state: State) -> ASGIResponse:
        return await lists.answer(table, request, state)

    return page


def _one(table: Table) -> HTTPRouteHandler:
    @get(
        "/{row_id:int}",
        operation_id=f"get_{table.path}",
        summary=f"One of {table.path}",
        operation_class=rows.shows(table),
    )
    async def one(database: InjectedDatabase, row_id: RowId) -> EncodedResponse:
        return changes.row_reply(table, await find_row(database.fetch, table, row_id))

    return one


def _change(table: Table) -> HTTPRouteHandler:
    @patch(
        "/{row_id:int}",
        operation_id=f"change_{table.path}",
        summary=f"Change one of {table.path}",
        operation_class=rows.changes(table),
        request_max_body_size=formats.MAX_BYTES,
        opt={ROLE: "writer"},
    )
    async def change(
        request: Request[Any, Any, Any], state: State, row_id: RowId
    ) -> EncodedResponse:
        body = await request.body()
        with state.batch_limiter.place(size_of(request.scope["headers"])):
            return await changes.Change(table, row_id, request).patch(state, body)

    return change


def _delete(table: Table) -> HTTPRouteHandler:
    @delete(
        "/{row_id:int}",
        operation_id=f"delete_{table.path}",
        summary=f"Delete one of {table.path}",
        operation_class=rows.deletes(table),
        status_code=200,
        opt={ROLE: "writer"},
    )
    async def remove(
        request: Request[Any, Any, Any], state: State, row_id: RowId
    ) -> EncodedResponse:
        with state.batch_limiter.place(size_of(request.scope["headers"])):
            return await changes.Change(table, row_id, request).delete(state)

    return remove


def _history(table: Table) -> HTTPRouteHandler:
    @get(
        "/{row_id:int}/changes",
        operation_id=f"list_changes_of_{table.path}",
        summary=f"What was changed in one of {table.path}, when and by whom",
        operation_class=rows.history(table),
    )
    async def history(
        request: Request[Any, Any, Any],
        database: InjectedDatabase,
        row_id: RowId,
        after: After = 0,
        limit: Limit = PAGE,
    ) -> ASGIResponse:
        found = await _changes(database, table, row_id, after, limit)
        following = found[-1].id if len(found) == limit else None
        return lists.page_reply(request, {"rows": found, "next": following})

    return history


async def _changes(
    database: Database, table: Table, row_id: int, after: int, limit: int
) -> list[RowChange]:
    """Changes of a row, which may be deleted; NotFoundError if there never was one."""
    if row_id <= MAX_ID:
        found = await changes_after(database.fetch, table, row_id, after, limit)
        if found or after:
            return found
    await find_row(database.fetch, table, row_id)
    return []
