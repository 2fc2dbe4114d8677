"""The names of the parents of rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from service.core.database.replication.limits import Fetch
from service.core.database.statements import Row, fetch_among
from service.core.rules.field_types import Text
from service.core.tables import Field, Table, by_name


@dataclass(frozen=True)
class Parent:
    """A parent of rows: the field that refers to it, and the field of the parent that names it."""

    reference: Field
    table: Table
    field: Field

    @property
    def name(self) -> str:
        """What a row calls the parent."""
        return self.reference.singular


@cache
def parents_of(table: Table) -> dict[str, Parent]:
    """The parents of rows by name: those with a text field, whose name is no column of the row."""
    found = {}
    for _, reference in table.parents:
        parent = by_name(reference.references or "")
        texts = [field for field in parent.fields if isinstance(field.kind, Text)]
        if texts and reference.singular not in table.columns:
            found[reference.singular] = Parent(reference, parent, texts[0])
    return found


async def names_of(fetch: Fetch, parent: Parent, rows: Sequence[Row], at: int) -> dict[int, Any]:
    """The names of the parents whose ids rows have at this offset, by id."""
    ids = {row[at] for row in rows} - {None}
    found = await fetch_among(fetch, parent.table.sql["find"], ids)
    name = parent.table.columns.index(parent.field.name)
    return {row[0]: row[name] for row in found}
