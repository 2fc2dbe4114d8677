"""The page of rejected rows: rejects by state, with the fields that a user can correct."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args
from urllib.parse import urlencode

from litestar import get
from litestar.di import NamedDependency, Provide
from litestar.params import FromQuery, QueryParameter
from litestar.response import Template
from msgspec import Struct
from msgspec.structs import asdict

from service.core.database.transactions import Database
from service.core.reads.parents import parents_of
from service.core.rules.fields import MAX_LONG, Code
from service.core.rules.raw_json import exact_text, input_text, json_text
from service.core.tables import Field, Table, by_name, by_path
from service.core.writes.corrections.outcomes import count_by_code
from service.core.writes.corrections.records import fields_of, first_fields
from service.core.writes.rejects import LOOKED_AT, REJECTS, end_of_page
from service.web.api.parameters import InjectedDatabase
from service.web.api.rejects.routes import SHOWN, as_object
from service.web.console.html import PAGE, AnyRequest, page
from service.web.console.pages.inputs import Input, input_type, label_of

Source = Literal["api", "loader", ""]
State = Literal["open", "corrected", "dismissed"]
Before = Annotated[int | None, QueryParameter(ge=1, le=MAX_LONG)]
Bad = dict[str, dict[str, Any]]
"""The first error of each field."""
COUNTED = 10_000
"""The most open rejects that the page counts, which takes at most 0.1 s."""


class Filters(Struct, frozen=True):
    """Which rejects the page lists; an empty text means any. table: its path; origin: a file."""

    state: str
    table: str
    source: str
    origin: str
    code: str

    @property
    def place(self) -> tuple[str | None, ...]:
        """The table in the database, the source and the origin, None for any."""
        table = by_path(self.table).name if self.table else None
        return table, self.source or None, self.origin or None

    def address(self, **changed: str | int) -> str:
        """The address of the page with some filters changed."""
        chosen = {name: value for name, value in {**asdict(self), **changed}.items() if value}
        return f"/console/rejects?{urlencode(chosen)}"

    @property
    def file(self) -> str:
        """The address of the open rejects as a file to correct and load."""
        chosen = {"table": self.table} | ({"origin": self.origin} if self.origin else {})
        return f"/rejects/file?{urlencode(chosen)}"


def chosen(
    state_: Annotated[State, QueryParameter(name="state")] = "open",
    table: FromQuery[str] = "",
    source: FromQuery[Source] = "",
    origin: FromQuery[str] = "",
    code: FromQuery[str] = "",
) -> Filters:
    """The filters in the address."""
    return Filters(state_, table, source, origin, code)


@get("/console/rejects", dependencies={"filters": Provide(chosen, sync_to_thread=False)})
async def rejects(
    request: AnyRequest,
    database: InjectedDatabase,
    filters: NamedDependency[Filters],
    before: Before = None,
) -> Template:
    latest, following = await latest_rejects(database, before or MAX_LONG, PAGE, filters)
    counts: dict[str, int] = {}
    if filters.state == "open":
        counts = await count_by_code(database.fetch, filters.place, COUNTED)
    return page(
        request,
        "rejects.html",
        rejects=list(map(as_shown, latest)),
        filters=filters,
        states=get_args(State),
        codes=get_args(Code),
        counts=counts,
        counted=COUNTED,
        before=before,
        following=following,
        looked_at=LOOKED_AT,
    )


async def latest_rejects(
    database: Database, before: int, limit: int, filters: Filters
) -> tuple[list[dict[str, Any]], int | None]:
    """The newest rejects below the number `before`, and where the next page begins."""
    table, *_ = filters.place
    end = await end_of_page(database.fetch, table, before, newest_first=True)
    error = json_text({"code": filters.code}) if filters.code else None
    each = (*filters.place, filters.state or None, error)
    twice = [value for value in each for _ in range(2)]
    parameters = (SHOWN, SHOWN, before, end or 0, *twice, limit)
    rows = await database.fetch(REJECTS["latest"], parameters)
    found = [as_object(row) | {"layout": layout} for *row, layout in rows]
    return found, found[-1]["id"] if len(found) == limit else end


def as_shown(reject: dict[str, Any]) -> dict[str, Any]:
    """A reject with its table, its fields as cells (None without fields), and its place."""
    table = by_name(reject["table"])
    source, record, layout = reject["source"], reject["record"], reject["layout"]
    fields = None if reject["truncated"] else fields_of(table, source, record, layout)
    in_csv = source == "loader"
    filled = first_fields(table, record, layout) if fields is None and in_csv else fields or {}
    bad = {error["field"]: error for error in reversed(reject["errors"]) if error["field"]}
    in_file = in_csv or reject["origin"].startswith("console: ")
    return reject | {
        "table": table,
        "cells": None if fields is None else _cells(table, fields, bad),
        "inputs": _inputs(table, source, filled, bad),
        "is_json": fields is None and not in_csv,
        "others": [error["message"] for error in reject["errors"] if error["field"] not in bad],
        "place": f"line {reject['position']}" if in_file else f"row {reject['position'] + 1}",
    }


def _cells(table: Table, fields: dict[str, Any], bad: Bad) -> list[dict[str, Any]]:
    """The fields of a record in the order of the table, then unknown ones."""
    names = [name for name in table.columns if name in fields or name in bad]
    names += [name for name in fields if name not in names]
    return [
        {"name": name, "text": input_text(fields.get(name)), "bad": name in bad} for name in names
    ]


def _inputs(table: Table, source: str, fields: dict[str, Any], bad: Bad) -> list[dict[str, Any]]:
    """The inputs of a record. A record of a file may keep its id; others get a new one."""
    editable = table.stored_fields if source == "loader" else table.fields
    return [_input(table, one, fields.get(one.name), bad.get(one.name, {})) for one in editable]


def _input(table: Table, field: Field, value: Any, error: dict[str, Any]) -> dict[str, Any]:
    """An input with the code of its error, and the value as it was sent, in JSON."""
    kind, text = input_type(field.kind), input_text(value)
    is_choice = kind == "boolean" and text in {"true", "false"}
    shown = Input(
        field.name,
        label_of(field.name),
        # A browser does not show an invalid date.
        "text" if kind == "date" and error else kind,
        text,
        error.get("message", ""),
        optional=field.optional or (kind == "boolean" and not is_choice),
        parent=parents_of(table).get(field.singular) if field.references else None,
    )
    sent = exact_text(value)
    return {"input": shown, "code": error.get("code", ""), "sent": sent}
