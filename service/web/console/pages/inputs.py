"""Inputs of forms, chosen by the types of fields."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from service.core.reads.orders import orders_of
from service.core.reads.parents import Parent
from service.core.rules.field_types import Boolean, Date, Moment, Whole
from service.core.rules.kind import Kind

SUGGESTED = 20
InputType = Literal["text", "number", "boolean", "date", "moment"]


@dataclass(frozen=True)
class Input:
    """An input: its name, its label, its type, its value, and what is wrong with the value.

    parent: whose names are suggested; note: what the value means.
    """

    name: str
    label: str
    type: InputType
    value: str = ""
    error: str = ""
    optional: bool = True
    parent: Parent | None = None
    note: str = ""

    @property
    def suggestions(self) -> str:
        """The address of the first parents, by name if the API has that order."""
        if self.parent is None:
            return ""
        by_name = self.parent.field.name in orders_of(self.parent.table)
        order = f"&order={self.parent.field.name}" if by_name else ""
        return f"/{self.parent.table.path}?limit={SUGGESTED}{order}"


def input_type(kind: Kind) -> InputType:
    """The input for values of a type."""
    if isinstance(kind, Whole):
        return "number"
    if isinstance(kind, Boolean):
        return "boolean"
    if isinstance(kind, Date):
        return "date"
    return "moment" if isinstance(kind, Moment) else "text"


def label_of(name: str) -> str:
    """A name for people."""
    return name.replace("_", " ")
