"""A query of a list: its conditions, its order, and where it starts."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import sql
from service.core.errors import ParameterError
from service.core.reads.filters import SQL, Condition, filters_of
from service.core.reads.orders import Key, Order, orders_of
from service.core.reads.parents import Parent, parents_of
from service.core.rules.batch import MAX_ROWS
from service.core.tables import Table

PAGE = 100
"""The rows of a page, unless a client asks for another number."""
Texts = Mapping[str, Sequence[str]]
"""The values of each parameter, as a client sent them."""

_number = re.compile("[1-9][0-9]{0,9}").fullmatch


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
    """The query of parameters; ParameterError names all that are wrong."""
    conditions, (order, after), expand = read_all(
        lambda: _conditions(table, texts),
        lambda: _start(table, texts),
        lambda: _expanded(table, texts),
    )
    return Query(table, conditions, order, after, expand)


def limit_of(texts: Texts) -> int:
    """The most rows of a page; ParameterError."""
    text = texts.get("limit", [str(PAGE)])[0]
    if not (_number(text) and int(text) <= MAX_ROWS):
        raise ParameterError({"limit": f"must be a whole number from 1 to {MAX_ROWS}"})
    return int(text)


def read_all(*reads: Callable[[], Any]) -> list[Any]:
    """What each of them returns; ParameterError with the wrong parameters of all."""
    found, wrong = [], dict[str, str]()
    for read in reads:
        try:
            found.append(read())
        except ParameterError as error:
            wrong |= error.wrong
    if wrong:
        raise ParameterError(wrong)
    return found


def _conditions(table: Table, texts: Texts) -> tuple[Condition, ...]:
    filters = filters_of(table)
    given = [(filters[name], values) for name, values in texts.items() if name in filters]
    return tuple(read_all(*(partial(one.condition, values) for one, values in given)))


def _start(table: Table, texts: Texts) -> tuple[Order, Key | None]:
    """The order, and the key after which the page starts."""
    orders, name = orders_of(table), texts.get("order", ["id"])[0]
    if name not in orders:
        raise ParameterError({"order": f"must be one of {', '.join(orders)}"})
    order = orders[name]
    return order, order.read_token(texts["after"][0]) if "after" in texts else None


def _expanded(table: Table, texts: Texts) -> tuple[Parent, ...]:
    """The parents that `expand` names, in one value separated by commas, or in several."""
    known = parents_of(table)
    names = [name for text in texts.get("expand", ()) for name in text.split(",")]
    for name in names:
        if name not in known:
            raise ParameterError({"expand": f"must name parents: {', '.join(known)}"})
    return tuple(known[name] for name in dict.fromkeys(names))
