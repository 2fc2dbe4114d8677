"""SQL expressions with which the database server builds lines of CSV or NDJSON."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import sql
from service.core.reads.filters import SQL
from service.core.reads.query import Query
from service.core.rules.field_types import Boolean, Date, Fixed, Moment, Text
from service.core.tables import Field

Form = Literal["csv", "ndjson"]
Formulas = Literal["keep", "escape"]
ROWS = "matches"
"""The name that the statement of lines has for the rows."""
PARENT = "parent_{name}"


def names_of(query: Query) -> list[str]:
    """The names of the columns."""
    return [*query.table.columns, *(parent.name for parent in query.expand)]


def header_of(names: Iterable[str], form: Form) -> bytes:
    """The first line of a file: the names of the columns, in CSV."""
    return f"{','.join(names)}\n".encode() if form == "csv" else b""


def line_of(query: Query, form: Form, formulas: Formulas) -> str:
    """The expression of a row."""
    values = [
        (name, _value(field, source, optional, form, formulas))
        for name, field, source, optional in _columns(query)
    ]
    if form == "csv":
        listed = ", ".join(value for _, value in values)
        return sql.with_parts(SQL["csv_line"], values=listed)
    pairs = (
        sql.with_parts(sql.with_name(SQL["json_pair"], name), value=value) for name, value in values
    )
    return sql.with_parts(SQL["json_line"], values=", ',', ".join(pairs))


def joins_of(query: Query) -> str:
    """The joins of the parents whose names the rows have."""
    return " ".join(
        sql.with_names(
            SQL["parent"],
            table=parent.table.name,
            source=PARENT.format(name=parent.name),
            column=parent.reference.name,
        )
        for parent in query.expand
    )


def _columns(query: Query) -> Iterable[tuple[str, Field, str, bool]]:
    """(name, field, source, whether it may be NULL) of each column."""
    for field in query.table.stored_fields:
        yield field.name, field, ROWS, field.optional
    for parent in query.expand:
        source = PARENT.format(name=parent.name)
        yield parent.name, parent.field, source, parent.reference.optional


def _value(field: Field, source: str, optional: bool, form: Form, formulas: Formulas) -> str:
    value = sql.with_names(SQL["value"], source=source, column=field.name)
    # Twice the characters, and one that keeps a formula from running.
    length = str(2 * field.kind.longest + 1) if isinstance(field.kind, Text) else ""
    for name in _steps(field, optional, form, formulas):
        value = sql.with_parts(SQL[name], value=value, length=length)
    return value


def _steps(field: Field, optional: bool, form: Form, formulas: Formulas) -> Iterable[str]:
    """The expressions around a value, from the inside."""
    kind = field.kind
    if isinstance(kind, Moment):
        yield "moment"
    elif isinstance(kind, Boolean):
        yield "boolean"
    if form == "csv":
        if isinstance(kind, Text):
            yield from ("csv_no_formula", "csv_text") if formulas == "escape" else ("csv_text",)
    elif isinstance(kind, Text):
        yield "json_text"
    elif isinstance(kind, Moment | Date | Fixed):
        yield "json_quoted"
    if optional:
        yield "csv_null" if form == "csv" else "json_null"
