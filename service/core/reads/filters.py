"""The filters of a list: each is made from a field of the table, by the type of the field."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Literal

import sql
from service.core.errors import ParameterError
from service.core.rules import field_types
from service.core.tables import Field, Table

SQL = sql.statements("lists")
MOST_VALUES, MOST_PREFIXES = 1000, 20
"""The most values of a filter. Prefixes have the lower limit: each is compared with each row."""
GREATEST = chr(0x10FFFF)
"""The greatest character, and the last one in the order of texts."""

Test = Literal["one_of", "starts_with", "from", "before"]


@dataclass(frozen=True)
class Condition:
    """A condition on a field, in SQL with its values.

    either: conditions of which a row that matches meets exactly one, if there are several.
    """

    field: Field
    text: str
    values: tuple[Any, ...]
    either: tuple[Condition, ...] = ()

    @property
    def is_one_value(self) -> bool:
        """Whether all rows that match have the same value in this field."""
        return len(self.values) == 1 and self.text.endswith("IN (%s)")

    @property
    def tested(self) -> Condition:
        """The same condition, which each row is tested by, and no index is read along."""
        return replace(self, text=sql.with_parts(SQL["tested"], condition=self.text), either=())


@dataclass(frozen=True)
class Filter:
    """A parameter that filters a list by a field."""

    name: str
    field: Field
    test: Test

    @property
    def most(self) -> int:
        """The most values that it takes."""
        return {"one_of": MOST_VALUES, "starts_with": MOST_PREFIXES}.get(self.test, 1)

    @property
    def description(self) -> str:
        """What it does, for the documentation."""
        name = self.field.name
        return {
            "one_of": f"rows with this `{name}`; repeat it for several",
            "starts_with": f"rows whose `{name}` starts with this text; repeat it for several",
            "from": f"rows whose `{name}` is at this time or later",
            "before": f"rows whose `{name}` is earlier than this",
        }[self.test]

    def condition(self, texts: Sequence[str]) -> Condition:
        """The condition of the texts that a client sent; ParameterError."""
        if len(texts) > self.most:
            few = f"has {len(texts)} values. {self.most} is the most that it takes"
            raise ParameterError({self.name: few})
        values = tuple(dict.fromkeys(read_value(self.name, self.field, text) for text in texts))
        test = sql.with_names(SQL[self.test], column=self.field.name)
        if isinstance(self.field.kind, field_types.Text):
            return _any_prefix(self.field, test, values, self.field.kind.longest)
        if self.test == "one_of":
            test = sql.with_in_list(test, len(values))
        return Condition(self.field, test, values)


def read_value(name: str, field: Field, text: str) -> Any:
    """The value of a field that a parameter has as text; ParameterError."""
    value, reasons = field.kind.read(text) if text else (None, [("blank", "must not be empty")])
    for _, message in reasons:
        raise ParameterError({name: f"{message}{_hint(field, text)}"})
    return value


def _hint(field: Field, text: str) -> str:
    """A hint for a moment with a space: in a URL, a bare `+` means a space."""
    of_time = isinstance(field.kind, field_types.Moment)
    return ". In a URL, write + as %2B" if of_time and " " in text else ""


def _any_prefix(field: Field, test: str, prefixes: Sequence[str], longest: int) -> Condition:
    """The condition of texts that begin with one of the prefixes."""
    others = [one for one in prefixes if not one.startswith(tuple({*prefixes} - {one}))]
    either = tuple(Condition(field, test, _range(prefix, longest)) for prefix in others)
    if len(either) == 1:
        return either[0]
    text = sql.any_of(one.text for one in either)
    return Condition(field, text, tuple(value for one in either for value in one.values), either)


def _range(prefix: str, longest: int) -> tuple[str, str, str]:
    """The first and the last text that begin with `prefix`, and the pattern of all of them."""
    return prefix, prefix.ljust(longest, GREATEST), _pattern(prefix)


def _pattern(prefix: str) -> str:
    """The pattern of LIKE for texts that start with `prefix`."""
    return prefix.replace("|", "||").replace("%", "|%").replace("_", "|_") + "%"


@cache
def filters_of(table: Table) -> dict[str, Filter]:
    """The filters of a table by parameter."""
    filters = [one for field in table.stored_fields for one in _filters(field)]
    return {one.name: one for one in filters}


def _filters(field: Field) -> list[Filter]:
    kind = field.kind
    if isinstance(kind, field_types.Text):
        return [Filter(field.name, field, "starts_with")]
    if isinstance(kind, field_types.Moment | field_types.Date):
        return [
            Filter(f"{field.range}_from", field, "from"),
            Filter(f"{field.range}_before", field, "before"),
        ]
    return [Filter(field.name, field, "one_of")]
