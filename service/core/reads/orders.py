"""The orders of a list. Each follows an index, so a page starts where the last one ended."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import msgspec

import sql
from service.core.errors import ParameterError
from service.core.reads.filters import SQL, read_value
from service.core.rules.fields import MAX_ID, MAX_LONG
from service.core.tables import ID, Field, Table

Key = tuple[Any, ...]
"""The values of a row in the fields of an order, the id last. They say where the row stands."""
OTHER_LIST = "is not from this list. Send the `next` of the last page, with the same order"


@dataclass(frozen=True)
class Order:
    """An order of a table: its name, and the fields that it compares, id last."""

    table: Table
    name: str
    fields: tuple[Field, ...]
    descending: bool

    @property
    def columns(self) -> list[str]:
        """The columns of a key."""
        return [field.name for field in self.fields]

    @property
    def index(self) -> str:
        """The index that has this order."""
        return self.table.index(self.fields[0])

    def text(self, source: str) -> str:
        """What follows ORDER BY. source: the name that the statement has for the rows."""
        term = SQL["descending" if self.descending else "ascending"]
        terms = (sql.with_names(term, source=source, column=name) for name in self.columns)
        return ", ".join(terms)

    def after(self, key: Key) -> tuple[str, Key]:
        """The condition of the rows after a key, and its values."""
        return self._beyond("less" if self.descending else "greater", key)

    def up_to(self, key: Key) -> tuple[str, Key]:
        """The condition of the rows up to a key, and its values."""
        text, values = self._beyond("greater" if self.descending else "less", key)
        same = sql.all_of(self._test("equal", name) for name in self.columns)
        return sql.any_of([text, same]), (*values, *key)

    def key(self, row: Sequence[Any]) -> Key:
        """The key of a stored row."""
        return tuple(row[self.table.columns.index(name)] for name in self.columns)

    def token(self, key: Key) -> int | str:
        """A key as clients send it back: the id, or an opaque text."""
        if self.name == "id":
            return int(key[0])
        shown = (field.kind.shown(one) for field, one in zip(self.fields, key, strict=True))
        encoded = msgspec.json.encode([self.name, *map(str, shown)])
        return base64.urlsafe_b64encode(encoded).decode().rstrip("=")

    def read_token(self, text: str) -> Key:
        """The key of a token that a client sent; ParameterError."""
        if self.name == "id":
            return (_number(text),)
        name, *shown = _decoded(text)
        if name != self.name or len(shown) != len(self.fields):
            raise ParameterError({"after": OTHER_LIST})
        values = zip(self.fields, shown, strict=True)
        return tuple(read_value("after", field, one) for field, one in values)

    def _beyond(self, test: str, key: Key) -> tuple[str, Key]:
        # MySQL finds the ranges of an index in this form, not in that of (a, b) > (x, y).
        steps, values = [], list[Any]()
        for at, name in enumerate(self.columns):
            same = [self._test("equal", other) for other in self.columns[:at]]
            steps.append(sql.all_of([*same, self._test(test, name)]))
            values += key[: at + 1]
        return sql.any_of(steps), tuple(values)

    def _test(self, test: str, name: str) -> str:
        return sql.with_names(SQL[test], column=name)


def _number(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 20 and int(text) <= MAX_LONG):
        raise ParameterError({"after": f"must be an id, or 0: a whole number up to {MAX_LONG}"})
    return min(int(text), MAX_ID)


def _decoded(text: str) -> list[str]:
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        name, *shown = msgspec.json.decode(data, type=list[str])
    except (ValueError, msgspec.MsgspecError, RecursionError):
        raise ParameterError({"after": OTHER_LIST}) from None
    return [name, *shown]


@cache
def orders_of(table: Table) -> dict[str, Order]:
    """The orders of a table by name: by id, and by each field that has an index for it."""
    fields = {field.name: field for field in table.stored_fields}
    keys = [(ID,), *_sorted(fields.values(), fields)]
    orders = (
        Order(table, f"{sign}{key[0].name}", key, bool(sign)) for key in keys for sign in ("", "-")
    )
    return {order.name: order for order in orders}


def _sorted(every: Iterable[Field], fields: dict[str, Field]) -> list[tuple[Field, ...]]:
    return [
        tuple(fields[name] for name in field.index)
        for field in every
        # A NULL is neither before nor after a value.
        if field.index and not field.references and not field.optional
    ]
