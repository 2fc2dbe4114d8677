"""Judging rows of text: whole columns at once where all is plain, the others field by field."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from service.core.rules.field_types import Column
from service.core.rules.fields import NOT_VALIDATED, Error, Reason
from service.core.tables import Field

log = logging.getLogger("hirebase.core")


@dataclass(frozen=True)
class ValidatedRows:
    """Rows of text: those that are right, where they stood, and why the others are not."""

    rows: list[tuple[Any, ...]]
    positions: Sequence[int]
    errors: dict[int, list[Error]]
    _parents: dict[str, Sequence[Any]]

    def parents(self, position: int) -> dict[str, int]:
        """The parents that a row names, by field, wherever it says a number."""
        named = ((name, column[position]) for name, column in self._parents.items())
        return {name: value for name, value in named if value is not None}


def validate(
    fields: Sequence[Field], records: Sequence[Sequence[str]], *, assume_utc: bool = False
) -> ValidatedRows:
    """Every rule that is broken, row by row: an empty field is missing, or NULL if it may be."""
    try:
        return _validate(fields, records, assume_utc=assume_utc)
    except Exception:  # whatever it is: it must not take the other rows with it
        log.exception("rows of text could not be judged together: each is judged by itself")
    alone = [_validate_alone(fields, record, assume_utc=assume_utc) for record in records]
    return ValidatedRows(
        [row for one in alone for row in one.rows],
        [at for at, one in enumerate(alone) if one.rows],
        {at: one.errors[0] for at, one in enumerate(alone) if one.errors},
        {
            field.name: [one.parents(0).get(field.name) for one in alone]
            for field in fields
            if field.references
        },
    )


def _validate_alone(
    fields: Sequence[Field], record: Sequence[str], *, assume_utc: bool
) -> ValidatedRows:
    try:
        return _validate(fields, [record], assume_utc=assume_utc)
    except Exception as error:  # whatever it is: the row is a reject, not the end of a load
        log.error("a row of text could not be validated: %s", type(error).__name__)
        return ValidatedRows([], [], {0: [NOT_VALIDATED]}, {})


def _validate(
    fields: Sequence[Field], records: Sequence[Sequence[str]], *, assume_utc: bool
) -> ValidatedRows:
    width = len(fields)
    errors = {
        at: [Error(None, "malformed", f"has {len(record)} fields, not {width}")]
        for at, record in enumerate(records)
        if len(record) != width
    }
    if errors:
        empty = ("",) * width
        records = [empty if at in errors else record for at, record in enumerate(records)]
    odd, columns = set(errors), []
    # Without records there are no columns to go with the fields.
    for field, column in zip(fields, zip(*records, strict=True), strict=bool(records)):
        values = _whole(field, column)
        if values is None:
            values = field.kind.each(column)
            doubtful = [at for at, value in enumerate(values) if value is None and at not in odd]
            read = (field.kind.at_utc if assume_utc else field.kind).read
            for at in doubtful:
                text = column[at]
                values[at], reasons = read(text) if text else (None, _empty(field))
                if found := field.errors(reasons):
                    errors.setdefault(at, []).extend(found)
        columns.append(values)
    rows = list(zip(*columns, strict=True))
    positions: Sequence[int] = range(len(records))
    if errors:
        positions = [at for at in positions if at not in errors]
        rows = [rows[at] for at in positions]
    parents = zip(fields, columns, strict=bool(records))
    return ValidatedRows(
        rows, positions, errors, {field.name: said for field, said in parents if field.references}
    )


def _whole(field: Field, column: Column) -> Sequence[Any] | None:
    """The values of a column; None unless all of it is plain."""
    if not field.optional or "" not in column:
        return field.kind.column(column)
    filled = list(filter(None, column))
    values = field.kind.column(filled) if filled else ()
    if values is None:
        return None
    coming = iter(values)
    return [next(coming) if text else None for text in column]


def _empty(field: Field) -> list[Reason]:
    return [] if field.optional else [("missing", "is missing")]
