"""The columns of a table as pages show them, with the names of parents instead of their ids."""

from __future__ import annotations

from dataclasses import dataclass

from service.core.reads.parents import Parent, parents_of
from service.core.tables import Field, Table, by_name
from service.web.console.pages.inputs import InputType, input_type, label_of


@dataclass(frozen=True)
class Column:
    """A column: its field, and the parent whose name is shown instead of its id."""

    field: Field
    parent: Parent | None

    @property
    def label(self) -> str:
        """The text of its header."""
        return label_of(self.parent.name if self.parent else self.field.name)

    @property
    def path(self) -> str:
        """The path of the table that the field refers to; empty if it refers to none."""
        return by_name(self.field.references).path if self.field.references else ""

    @property
    def kind(self) -> InputType:
        """How its values are shown."""
        return "text" if self.path else input_type(self.field.kind)


def columns_of(table: Table) -> list[Column]:
    """The columns of a table, id first."""
    parents = {parent.reference.name: parent for parent in parents_of(table).values()}
    return [Column(field, parents.get(field.name)) for field in table.stored_fields]
