"""The bodies of replies as structs, and examples that the core has validated."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any, Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType

from service.core.backups.backup_store import Listed
from service.core.backups.restored import Restored
from service.core.reads.parents import parents_of
from service.core.rules import batch
from service.core.rules.fields import Error
from service.core.rules.raw_json import json_text, text_of
from service.core.tables import Table

COMPONENT = "#/components/schemas/{name}"


class Failure(Struct):
    """A row that was not inserted: its index in the batch, the row as sent, and all errors."""

    index: int
    record: Any
    errors: list[Error]


class BatchVerdict(Struct):
    """The result of a batch. `ids` are by position, null for rows that were not inserted."""

    received: int
    inserted: int
    failed: int
    failures: list[Failure]
    ids: list[int | None] | UnsetType = UNSET


class RestoredAll(Struct):
    """The result of restoring an archive, by table. verified: all tables are verified."""

    verified: bool
    tables: list[Restored]


class Listing(Struct):
    """The backups in BACKUP_DIR, oldest first."""

    backups: list[Listed]


class Rejected(Struct):
    """A row that was not inserted, from any source.

    truncated: a list shows only the beginning of a long `record` (`record_length` characters), or
    the first of many `errors` (`error_count`). `GET /rejects/{id}` shows both completely.
    state: open, corrected or dismissed; row_id: of the row that was inserted.
    """

    id: int
    rejected_at: str
    source: str
    origin: str
    table: str
    position: int
    record: str
    errors: list[Error]
    record_length: int
    error_count: int
    truncated: bool
    state: str
    closed_at: str | None
    closed_by: str | None
    reason: str | None
    row_id: int | None


class RejectPage(Struct):
    """Rejects by id; `next` is the `after` of the next page, null on the last.

    A page that reaches its limit in bytes has fewer rows than `limit`, and a `next`.
    """

    rows: list[Rejected]
    next: int | None


class Health(Struct):
    """The reply of a probe."""

    status: str


@cache
def page_of(table: Table) -> type[Struct]:
    """A page of a list; `next` is the `after` of the next page, null on the last.

    count: only with `count=exact`.
    """
    # A type made at run time.
    fields: list[Any] = [
        ("rows", list[listed_of(table)]),  # type: ignore[misc]
        ("next", int | str | None),
        ("count", int | UnsetType, UNSET),
    ]
    return msgspec.defstruct(f"{table.row.__name__}Page", fields)


@cache
def listed_of(table: Table) -> type[Struct]:
    """A row of a list: as it is stored, with the names of the parents that `expand` names."""
    parents = parents_of(table)
    if not parents:
        return table.stored
    names = [(name, str | None | UnsetType, UNSET) for name in parents]
    fields: list[Any] = [(field.name, field.hint) for field in table.stored_fields]
    return msgspec.defstruct(
        f"Listed{table.struct.__name__}", [*fields, *names], forbid_unknown_fields=True
    )


@cache
def change_of(table: Table) -> type[Struct]:
    """A change of a row: the row before and after; after: null if it was deleted."""
    fields: list[Any] = [
        ("id", int),
        ("changed_at", str),
        ("changed_by", str),
        ("kind", Literal["changed", "deleted"]),
        ("before", table.stored),
        ("after", table.stored | None),
    ]
    return msgspec.defstruct(f"{table.struct.__name__}Change", fields)


@cache
def changes_of(table: Table) -> type[Struct]:
    """The changes of a row; `next` is the `after` of the next page, null on the last."""
    # A type made at run time.
    fields: list[Any] = [("rows", list[change_of(table)]), ("next", int | None)]  # type: ignore[misc]
    return msgspec.defstruct(f"{table.struct.__name__}Changes", fields)


@cache
def without_required(table: Table) -> type[Struct]:
    """Some fields of a row."""
    fields: list[Any] = [
        (field.name, field.hint | UnsetType, UNSET)  # a union that exists only at run time
        for field in table.fields
    ]
    name = f"Some{table.struct.__name__}Fields"
    return msgspec.defstruct(name, fields, forbid_unknown_fields=True)


def schemas(shapes: Iterable[type]) -> dict[str, Any]:
    """JSON Schemas of structs and of their nested structs, by name."""
    _, components = msgspec.json.schema_components(
        list(shapes), schema_hook=_schema_of, ref_template=COMPONENT
    )
    return components


def _schema_of(wire: Any) -> dict[str, Any]:
    return dict(wire.schema())


@cache
def sample(table: Table) -> dict[str, Any]:
    """A row that can be posted if row 1 of each parent exists."""
    return {field.name: field.example for field in table.fields}


def stored_sample(table: Table) -> dict[str, Any]:
    """The sample row as the table stores it."""
    return {"id": 1, **sample(table)}


def change(table: Table) -> dict[str, Any]:
    """The deletion of the sample row."""
    return {
        "id": 1,
        "changed_at": "2021-07-27T16:02:08.000000Z",
        "changed_by": "ada",
        "kind": "deleted",
        "before": stored_sample(table),
        "after": None,
    }


def broken_sample(table: Table) -> dict[str, Any]:
    """The sample row with a first field that is invalid for any type."""
    return {**sample(table), table.fields[0].name: " "}


def verdict(table: Table, rows: list[dict[str, Any]]) -> BatchVerdict:
    """The result of posting a batch to an empty table."""
    validated = batch.from_json(table, msgspec.json.encode(rows))
    ids: list[int | None] = [None] * len(rows)
    for key, position in enumerate(validated.positions, 1):
        ids[position] = key
    failures = [
        Failure(reject.position, rows[reject.position], reject.errors)
        for reject in validated.rejects
    ]
    return BatchVerdict(len(rows), len(validated.rows), len(failures), failures, ids)


def reject(table: Table) -> Rejected:
    """The reject of a batch of one broken row."""
    (failure,) = verdict(table, [broken_sample(table)]).failures
    record = json_text(failure.record)
    return Rejected(
        id=1,
        rejected_at="2021-07-27T16:02:08.000000Z",
        source="api",
        origin=f"POST /{table.path}",
        table=table.name,
        position=failure.index,
        record=record,
        errors=failure.errors,
        record_length=len(record),
        error_count=len(failure.errors),
        truncated=False,
        state="open",
        closed_at=None,
        closed_by=None,
        reason=None,
        row_id=None,
    )


def as_csv(table: Table) -> str:
    """The sample row under a header."""
    row = sample(table)
    return f"{','.join(row)}\n{','.join(map(text_of, row.values()))}\n"


def as_ndjson(table: Table) -> str:
    """Two rows, one in each line."""
    return 2 * f"{json_text(sample(table))}\n"
