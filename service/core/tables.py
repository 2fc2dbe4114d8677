"""The tables: one struct and one `Table` each; everything else iterates over `TABLES`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter
from typing import Annotated, Any, get_type_hints

import msgspec
from msgspec import Meta, Struct

import sql
from service.core.errors import NotFoundError
from service.core.rules import field_types
from service.core.rules.annotations import kind_for, unwrap
from service.core.rules.fields import Error, Id, Instant, Reason, Text, error_of
from service.core.rules.kind import Kind


class Department(Struct, forbid_unknown_fields=True, frozen=True):
    """A department."""

    department: Annotated[
        Text, Meta(examples=["Supply Chain"], extra={"index": ("department", "id")})
    ]


class Job(Struct, forbid_unknown_fields=True, frozen=True):
    """A job."""

    job: Annotated[Text, Meta(examples=["Data Engineer"], extra={"index": ("job", "id")})]


class Employee(Struct, forbid_unknown_fields=True, frozen=True):
    """A hire: who, when, where to and as what."""

    name: Annotated[Text, Meta(examples=["Ada Lovelace"], extra={"index": ("name", "id")})]
    datetime: Annotated[
        Instant,
        Meta(extra={"index": ("datetime", "department_id", "job_id", "id"), "range": "hired"}),
    ]
    department_id: Annotated[Id, Meta(extra={"references": "departments"})]
    job_id: Annotated[Id, Meta(extra={"references": "jobs"})]


NO_META = Meta()
DOCUMENTATION = ("description", "examples")
"""The parts of an annotation that are for people."""


@dataclass(frozen=True)
class Field:
    """A column: its name, the kind of its values, and the table that it refers to.

    optional: may be NULL; meta: its documentation.
    """

    name: str
    kind: Kind
    references: str | None = None
    optional: bool = False
    meta: Meta = NO_META

    @cached_property
    def example(self) -> Any:
        """A value as it is sent."""
        return (self.meta.examples or [self.kind.example])[0]

    @cached_property
    def index(self) -> tuple[str, ...]:
        """The columns of the index that begins with this field, id last; empty without one."""
        of_parent = (self.name, "id") if self.references else ()
        return tuple((self.meta.extra or {}).get("index", of_parent))

    @cached_property
    def singular(self) -> str:
        """The name without `_id`: what a row has one of."""
        return self.name.removesuffix("_id") if self.references else self.name

    @cached_property
    def range(self) -> str:
        """The name that the filters of a range begin with."""
        return str((self.meta.extra or {}).get("range", self.name))

    @cached_property
    def get(self) -> Callable[[Struct], Any]:
        """Gets the value of a row."""
        return attrgetter(self.name)

    @cached_property
    def hint(self) -> Any:
        """The type that msgspec decodes and validates."""
        return self._hint(self.kind.wire)

    @cached_property
    def decoded(self) -> Any:
        """The type that msgspec decodes if `validated` validates the column after that."""
        return self._hint(str if self.kind.in_texts else self.kind.wire)

    def _hint(self, wire: Any) -> Any:
        hint: Any = Annotated[wire, self.meta]
        return hint | None if self.optional else hint

    def validated(self, column: Sequence[Any]) -> Sequence[Any]:
        """The values of a column of type `decoded`; ValueError if one is wrong."""
        if not self.kind.in_texts:
            return column
        texts = None if self.optional and None in column else self.kind.column(column)
        if texts is not None:
            return texts
        # A type made at run time: mypy cannot know it.
        return msgspec.convert(column, list[self.hint], dec_hook=field_types.decode)  # type: ignore[name-defined]

    def errors(self, reasons: Iterable[Reason]) -> list[Error]:
        """Reasons as errors of this field."""
        return [error_of(self.name, code, message) for code, message in reasons]

    def explain(self, value: object) -> list[Error]:
        """The errors of a value in this field."""
        return [] if self.optional and value is None else self.errors(self.kind.explain(value))


def field_of(name: str, hint: Any) -> Field:
    """The field of an annotation; TypeError if it has no kind."""
    try:
        base, metas, optional = unwrap(hint)
        kind = kind_for(base, metas)
    except TypeError as error:
        raise TypeError(f"{name}: {error}") from None
    extra = {key: value for meta in metas for key, value in (meta.extra or {}).items()}
    described, examples = (
        [getattr(m, part) for m in metas if getattr(m, part)] for part in DOCUMENTATION
    )
    meta = Meta(
        description=described[-1] if described else None,
        examples=examples[-1] if examples else None,
        extra=extra or None,
    )
    return Field(name, kind, extra.get("references"), optional, meta)


ID = field_of("id", Id)
"""The id of every table."""


@dataclass(frozen=True)
class Table:
    """A table: its name in paths, its name in the database, and the struct of a row without id.

    stored_in: the name of another table in the database with the same columns, which its statements
    then read and write.
    """

    path: str
    name: str
    struct: type[Struct]
    stored_in: str | None = None

    @cached_property
    def fields(self) -> tuple[Field, ...]:
        """The fields of a row as it is posted: all columns but the id."""
        hints = get_type_hints(self.struct, include_extras=True)
        return tuple(field_of(name, hint) for name, hint in hints.items())

    @cached_property
    def stored_fields(self) -> tuple[Field, ...]:
        """All columns, id first."""
        return (ID, *self.fields)

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

    def __reduce__(self) -> tuple[type[Table], tuple[Any, ...]]:
        # Without the structs that are made at run time, which no other process has.
        return Table, (self.path, self.name, self.struct, self.stored_in)

    def index(self, field: Field) -> str:
        """The name of the index that begins with a field."""
        return f"{self.name}_{field.singular}" if field is not ID else "PRIMARY"

    @cached_property
    def row(self) -> type[Struct]:
        """The struct of a posted row."""
        return struct_of(self.struct.__name__, self.fields, self.struct.__doc__)

    @cached_property
    def decoded(self) -> type[Struct]:
        """The struct of a posted row whose texts are not validated yet."""
        return struct_of(f"Decoded{self.struct.__name__}", self.fields, hint=attrgetter("decoded"))

    @cached_property
    def stored(self) -> type[Struct]:
        """The struct of a row with its id, as Avro carries it."""
        return struct_of(f"Stored{self.struct.__name__}", self.stored_fields)

    @cached_property
    def row_bytes(self) -> int:
        """The maximum size of a row in a statement, in bytes."""
        return sum(field.kind.literal + len(", ") for field in self.stored_fields) + len("(),")

    @cached_property
    def stored_bytes(self) -> int:
        """The most bytes that a row has in a binary log, without its texts."""
        nulls = (len(self.stored_fields) + 7) // 8
        return nulls + sum(field.kind.stored for field in self.stored_fields)

    @cached_property
    def text_columns(self) -> tuple[int, ...]:
        """The positions of texts in a row with its id."""
        return tuple(
            at
            for at, field in enumerate(self.stored_fields)
            if isinstance(field.kind, field_types.Text)
        )

    @cached_property
    def sql(self) -> dict[str, str]:
        """This table's statements by name."""
        statements = sql.statements(self.name)
        if self.stored_in is None:
            return statements
        return {
            key: sql.on_table(statement, self.name, self.stored_in)
            for key, statement in statements.items()
        }

    def as_object(self, row: tuple[Any, ...]) -> dict[str, Any]:
        """A stored row as the API shows it."""
        return {
            field.name: value if value is None else field.kind.shown(value)
            for field, value in zip(self.stored_fields, row, strict=True)
        }


def struct_of(
    name: str,
    fields: Iterable[Field],
    described: str | None = None,
    hint: Callable[[Field], Any] = attrgetter("hint"),
) -> type[Struct]:
    """A struct with these fields in this order; optional fields may be missing."""
    return msgspec.defstruct(
        name,
        [
            (field.name, hint(field), None) if field.optional else (field.name, hint(field))
            for field in fields
        ],
        namespace={"__doc__": described} if described else None,
        forbid_unknown_fields=True,
        frozen=True,
        kw_only=True,
    )


TABLES = (
    Table("departments", "departments", Department),
    Table("jobs", "jobs", Job),
    Table("employees", "hired_employees", Employee),
)
"""Parents before children."""


def by_path(path: str) -> Table:
    """The table with this path; NotFoundError."""
    return _find(path, {table.path: table for table in TABLES})


def by_name(name: str) -> Table:
    """The table with this name in the database; NotFoundError."""
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
        raise NotFoundError(f"There is no table {key!r}. The tables are {', '.join(tables)}.")
    return tables[key]
