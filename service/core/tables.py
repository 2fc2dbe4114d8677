"""The tables: one struct and one `Table` each; everything else iterates over `TABLES`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, get_args, get_type_hints

import msgspec
from msgspec import Meta, Struct

import sql
from service.core.errors import NotFoundError
from service.core.fields import Error, Id, Instant, Reason, Text


class Department(Struct, forbid_unknown_fields=True, frozen=True):
    """A department."""

    department: Annotated[Text, Meta(examples=["Supply Chain"])]


class Job(Struct, forbid_unknown_fields=True, frozen=True):
    """A job."""

    job: Annotated[Text, Meta(examples=["Data Engineer"])]


class Employee(Struct, forbid_unknown_fields=True, frozen=True):
    """A hire: who, when, where to and as what."""

    name: Annotated[Text, Meta(examples=["Ada Lovelace"])]
    datetime: Instant
    department_id: Annotated[Id, Meta(extra={"references": "departments"})]
    job_id: Annotated[Id, Meta(extra={"references": "jobs"})]


@dataclass(frozen=True)
class Field:
    """A column: its name, its type (int, str or Instant) and the table it refers to."""

    name: str
    type: type
    references: str | None

    def errors(self, reasons: Iterable[Reason]) -> list[Error]:
        """Reasons why a value cannot stand in this field."""
        return [Error(self.name, code, f"{self.name} {message}") for code, message in reasons]


def _field(name: str, hint: Any) -> Field:
    base, *metas = get_args(hint) or (hint,)
    extras = {key: value for meta in metas for key, value in (meta.extra or {}).items()}
    return Field(name, base, extras.get("references"))


@dataclass(frozen=True)
class Table:
    """A table: its name in paths, its name in the database, and the struct of a row without id."""

    path: str
    name: str
    row: type[Struct]

    @cached_property
    def fields(self) -> tuple[Field, ...]:
        """The fields of a row as it is posted: all columns but the id."""
        hints = get_type_hints(self.row, include_extras=True)
        return tuple(_field(name, hint) for name, hint in hints.items())

    @cached_property
    def stored_fields(self) -> tuple[Field, ...]:
        """All columns, id first."""
        return (Field("id", int, None), *self.fields)

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The names of all columns, id first."""
        return tuple(field.name for field in self.stored_fields)

    @cached_property
    def parents(self) -> tuple[tuple[int, Field], ...]:
        """(offset from the end of a row, field) of each foreign key."""
        width = len(self.fields)
        return tuple(
            (at - width, field) for at, field in enumerate(self.fields) if field.references
        )

    @cached_property
    def stored(self) -> type[Struct]:
        """The struct of a row with its id, as Avro carries it."""
        hints = get_type_hints(self.row, include_extras=True)
        return msgspec.defstruct(
            f"Stored{self.row.__name__}",
            [("id", Id), *hints.items()],
            forbid_unknown_fields=True,
            frozen=True,
        )

    @cached_property
    def sql(self) -> dict[str, str]:
        """This table's statements by name."""
        return sql.statements(self.name)

    def as_object(self, row: tuple[Any, ...]) -> dict[str, Any]:
        """A row read from the database as it is shown: instants with their Z."""
        return {
            field.name: f"{value}Z" if field.type is Instant else value
            for field, value in zip(self.stored_fields, row, strict=True)
        }


TABLES = (
    Table("departments", "departments", Department),
    Table("jobs", "jobs", Job),
    Table("employees", "hired_employees", Employee),
)
"""Parents before children."""


def by_path(path: str) -> Table:
    """The table that a path names; NotFoundError lists those that there are."""
    return _find(path, {table.path: table for table in TABLES})


def by_name(name: str) -> Table:
    """The table of that name in the database."""
    return _find(name, {table.name: table for table in TABLES})


def children(parent: Table) -> list[tuple[Table, Field]]:
    """(table, field) of every foreign key that refers to `parent`."""
    return [
        (table, field)
        for table in TABLES
        for field in table.fields
        if field.references == parent.name
    ]


def _find(key: str, tables: dict[str, Table]) -> Table:
    if key not in tables:
        raise NotFoundError(f"There is no table {key!r}; there are {', '.join(tables)}.")
    return tables[key]
