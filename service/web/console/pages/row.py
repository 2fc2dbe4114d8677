"""The page of a row: its fields, the rows that refer to it, its history, and a form."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from litestar import get
from litestar.params import FromPath, QueryParameter
from litestar.response import Template

from service.core.database.statements import Row
from service.core.database.transactions import Database
from service.core.errors import NotFoundError
from service.core.reads import pages
from service.core.reads.pages import Counted, find_row
from service.core.reads.parents import names_of
from service.core.reads.query import query_of
from service.core.rules.fields import MAX_ID, MAX_LONG
from service.core.rules.raw_json import input_text
from service.core.tables import Table, by_path, children
from service.core.writes.corrections.outcomes import reject_of
from service.core.writes.row_changes import RowChange, latest_changes
from service.web.api.parameters import InjectedDatabase
from service.web.api.tables.changes import etag_of
from service.web.console.html import AnyRequest, page
from service.web.console.pages.columns import Column, columns_of
from service.web.console.pages.inputs import Input, input_type, label_of

CHANGES = 20
"""Changes on a page."""
Before = Annotated[int, QueryParameter(ge=1, le=MAX_LONG)]
Names = Mapping[str, Mapping[int, Any]]
"""The names of parents by id, by the name of the field that refers to them."""
Shown = dict[str, Any]
"""A row as the API shows it."""


@dataclass(frozen=True)
class Child:
    """The rows of a table that refer to a row by a field."""

    table: Table
    label: str
    counted: Counted
    link: str


@dataclass(frozen=True)
class Difference:
    """A field whose value a change replaced."""

    column: Column
    old: Any
    new: Any


@dataclass(frozen=True)
class Change:
    """A change of the row; differences: all fields if it was deleted."""

    id: int
    at: str
    by: str
    deleted: bool
    differences: list[Difference]


@get("/console/tables/{table:str}/{row_id:int}")
async def row(
    request: AnyRequest,
    database: InjectedDatabase,
    table: FromPath[str],
    row_id: FromPath[int],
    before: Before = MAX_LONG,
) -> Template:
    owner = by_path(table)
    stored, changes = await _row_and_changes(database, owner, row_id, before)
    columns = columns_of(owner)
    shown = owner.as_object(stored) if stored else None
    differing = [_change(columns, change) for change in changes]
    names = await _names(database, columns, [shown or {}, *_rows_in(differing)])
    return page(
        request,
        "row.html",
        table=owner,
        row_id=row_id,
        row=shown,
        etag=etag_of(owner, stored) if stored else "",
        columns=columns,
        names=names,
        editors=[_editor(column, shown, names) for column in columns[1:]] if shown else [],
        children=await _children(database, owner, row_id) if stored else [],
        reject=await reject_of(database.fetch, owner, row_id),
        changes=differing[:CHANGES],
        older=differing[CHANGES - 1].id if len(differing) > CHANGES else None,
        is_newest=before == MAX_LONG,
    )


async def _row_and_changes(
    database: Database, table: Table, row_id: int, before: int
) -> tuple[Row | None, list[RowChange]]:
    """The row, None if it was deleted, and its changes; NotFoundError if there is neither."""
    changes: list[RowChange] = []
    if row_id <= MAX_ID:
        changes = await latest_changes(database.fetch, table, row_id, CHANGES + 1, before)
    try:
        return await find_row(database.fetch, table, row_id), changes
    except NotFoundError:
        if not changes:
            raise
        return None, changes


def _change(columns: Iterable[Column], change: RowChange) -> Change:
    old: Shown = msgspec.json.decode(change.before)
    new: Shown = msgspec.json.decode(change.after) if change.after else {}
    differences = [
        Difference(column, old.get(name), new.get(name))
        for column in columns
        if (name := column.field.name) != "id" and old.get(name) != new.get(name)
    ]
    when = change.changed_at[:19].replace("T", " ")
    return Change(change.id, when, change.changed_by, change.kind == "deleted", differences)


def _rows_in(changes: Iterable[Change]) -> list[Shown]:
    """The values of changes as rows, to look up the names of parents in them."""
    return [
        {one.column.field.name: value}
        for change in changes
        for one in change.differences
        for value in (one.old, one.new)
    ]


async def _names(database: Database, columns: Iterable[Column], rows: Iterable[Shown]) -> Names:
    """The names of the parents that rows refer to."""
    found = {}
    for column in columns:
        if column.parent:
            name = column.field.name
            ids = [(one.get(name),) for one in rows]
            found[name] = await names_of(database.fetch, column.parent, ids, 0)
    return found


def _editor(column: Column, shown: Shown, names: Names) -> Input:
    """The input of a field, with the name of the parent that it refers to."""
    field, value = column.field, shown[column.field.name]
    return Input(
        field.name,
        label_of(field.name),
        input_type(field.kind),
        input_text(value),
        optional=field.optional,
        parent=column.parent,
        note=names.get(field.name, {}).get(value) or "",
    )


async def _children(database: Database, table: Table, row_id: int) -> list[Child]:
    """The rows that refer to a row, counted up to a limit."""
    found = []
    for child, field in children(table):
        query = query_of(child, {field.name: [str(row_id)]})
        counted = await pages.count_some(database, query)
        link = f"/console/tables/{child.path}?{field.name}={row_id}"
        found.append(Child(child, label_of(field.singular), counted, link))
    return found
