"""A query of a list: its conditions, its order, and where it starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sql
from service.core.errors import ParameterError
from service.core.reads.filters import SQL, Condition, filters_of
from service.core.reads.orders import Key, Order, orders_of
from service.core.reads.parents import Parent, parents_of
from service.core.tables import Table

Texts = Mapping[str, Sequence[str]]
"""The values of each parameter, as a client sent them."""


@dataclass(frozen=True)
class Query:
    """Which rows of a table, in which order, after which key, with the names of which parents."""

    table: Table
    conditions: tuple[Condition, ...]
    order: Order
    after: Key | None = None
    expand: tuple[Parent, ...] = ()

    def on(self, column: str) -> list[Condition]:
        """The conditions on a column."""
        return [one for one in self.conditions if one.field.name == column]

    def where(
        self,
        conditions: Sequence[Condition],
        after: Key | None = None,
        end: Key | None = None,
    ) -> tuple[str, list[Any]]:
        """Conditions in SQL and their values, for the rows after `after` and up to `end`."""
        parts = [(one.text, one.values) for one in conditions]
        parts += [self.order.after(after)] if after else []
        parts += [self.order.up_to(end)] if end else []
        text = sql.all_of(text for text, _ in parts) or SQL["all_rows"]
        return text, [value for _, values in parts for value in values]


def query_of(table: Table, texts: Texts) -> Query:
    """The query of parameters; ParameterError."""
    filters = filters_of(table)
    conditions = tuple(
        filters[name].condition(values) for name, values in texts.items() if name in filters
    )
    order = _one_of("order", texts, orders_of(table), "id")
    after = order.read_token(texts["after"][0]) if "after" in texts else None
    return Query(table, conditions, order, after, _expanded(table, texts))


def _one_of(name: str, texts: Texts, known: Mapping[str, Any], default: str) -> Any:
    text = texts.get(name, [default])[0]
    if text not in known:
        raise ParameterError(name, f"must be one of {', '.join(known)}")
    return known[text]


def _expanded(table: Table, texts: Texts) -> tuple[Parent, ...]:
    """The parents that `expand` names, in one value separated by commas, or in several."""
    known = parents_of(table)
    names = [name for text in texts.get("expand", ()) for name in text.split(",")]
    for name in names:
        if name not in known:
            raise ParameterError("expand", f"must name parents: {', '.join(known)}")
    return tuple(known[name] for name in dict.fromkeys(names))
