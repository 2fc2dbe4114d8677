"""Validation of rows of text: by whole columns if all values are plain, else value by value."""

from __future__ import annotations

import logging
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

from service.core.rules.fields import NOT_VALIDATED, Error, Reason, is_id
from service.core.rules.kind import Column
from service.core.tables import Field

log = logging.getLogger("hirebase.core")

Parents = dict[str, dict[int, int]]
"""The ids of parents that rows name: by field, then by the position of the row."""


@dataclass(frozen=True)
class ValidatedRows:
    """The valid rows with their positions, and the errors of the others by position."""

    rows: list[tuple[Any, ...]]
    positions: Sequence[int]
    errors: dict[int, list[Error]]
    _parents: dict[str, Sequence[Any]]

    def parents(self, positions: Iterable[int]) -> Parents:
        """The parents that these rows name, if they can be ids."""
        return {
            name: {at: key for at in positions if is_id(key := column[at])}
            for name, column in self._parents.items()
        }


def validate(
    fields: Sequence[Field], records: Sequence[Sequence[str]], *, assume_utc: bool = False
) -> ValidatedRows:
    """Validate rows. An empty text is NULL in an optional field, and missing in any other."""
    try:
        return _validate(fields, records, assume_utc=assume_utc)
    except Exception:  # any error: it must not cost the other rows
        log.exception("a block of rows could not be validated: validating each row separately")
    singles = [_validate_one(fields, record, assume_utc=assume_utc) for record in records]
    return ValidatedRows(
        [row for one in singles for row in one.rows],
        [at for at, one in enumerate(singles) if one.rows],
        {at: one.errors[0] for at, one in enumerate(singles) if one.errors},
        {
            field.name: [one.parents([0]).get(field.name, {}).get(0) for one in singles]
            for field in fields
            if field.references
        },
    )


def _validate_one(
    fields: Sequence[Field], record: Sequence[str], *, assume_utc: bool
) -> ValidatedRows:
    try:
        return _validate(fields, [record], assume_utc=assume_utc)
    except Exception as error:  # any error: the row is a reject, the load continues
        log.error("a row of text could not be validated: %s", type(error).__name__)
        return ValidatedRows([], [], {0: [NOT_VALIDATED]}, {})


def _validate(
    fields: Sequence[Field], records: Sequence[Sequence[str]], *, assume_utc: bool
) -> ValidatedRows:
    errors = _wrong_widths(len(fields), records)
    if errors:
        empty = ("",) * len(fields)
        records = [empty if at in errors else record for at, record in enumerate(records)]
    each_value = partial(_each_value, errors, frozenset(errors), assume_utc)
    columns = []
    # Without records there are no columns to go with the fields.
    for field, column in zip(fields, zip(*records, strict=True), strict=bool(records)):
        values = _plain_column(field, column)
        columns.append(each_value(field, column) if values is None else values)
    rows = list(zip(*columns, strict=True))
    positions: Sequence[int] = range(len(records))
    if errors:
        positions = [at for at in positions if at not in errors]
        rows = [rows[at] for at in positions]
    parents = zip(fields, columns, strict=bool(records))
    return ValidatedRows(
        rows, positions, errors, {field.name: ids for field, ids in parents if field.references}
    )


def _wrong_widths(width: int, records: Sequence[Sequence[str]]) -> dict[int, list[Error]]:
    return {
        at: [Error(None, "malformed", f"has {len(record)} fields, not {width}")]
        for at, record in enumerate(records)
        if len(record) != width
    }


def _each_value(
    errors: dict[int, list[Error]],
    malformed: Container[int],
    assume_utc: bool,
    field: Field,
    column: Column,
) -> list[Any]:
    """The values of a column one by one; adds their errors, except for malformed records."""
    values = field.kind.each(column)
    unknown = [at for at, value in enumerate(values) if value is None and at not in malformed]
    read = (field.kind.at_utc if assume_utc else field.kind).read

    @cache  # equal errors are one object, which is written as JSON once
    def errors_of(reasons: tuple[Reason, ...]) -> list[Error]:
        return field.errors(reasons)

    @cache  # wrong texts repeat
    def read_one(text: str) -> tuple[Any, list[Error]]:
        value, reasons = read(text) if text else (None, _empty(field))
        return value, errors_of(tuple(reasons))

    for at in unknown:
        values[at], broken = read_one(column[at])
        if broken:
            errors[at] = errors[at] + broken if at in errors else broken
    return values


def _plain_column(field: Field, column: Column) -> Sequence[Any] | None:
    """The values of a column; None unless all its texts are plain."""
    if not field.optional or "" not in column:
        return field.kind.column(column)
    filled = list(filter(None, column))
    values = field.kind.column(filled) if filled else ()
    if values is None:
        return None
    following = iter(values)
    return [next(following) if text else None for text in column]


def _empty(field: Field) -> list[Reason]:
    return [] if field.optional else [("missing", "is missing")]
