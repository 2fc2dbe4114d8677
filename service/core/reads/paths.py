"""Access paths: the index by which a list is read, so that a page reads at most SCAN rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import sql
from service.core.database.replication.limits import Fetch
from service.core.reads.filters import SQL, Condition
from service.core.reads.orders import Key
from service.core.reads.query import Query
from service.core.tables import ID, Field

SCAN = 6_000
"""The most rows that a page reads, and that a filter may leave to be sorted."""


@dataclass(frozen=True)
class Path:
    """An access path: the index by which rows are read.

    in_order: the index has the order of the list. Otherwise the rows are few and the server sorts
    them.
    along: the conditions that the index serves; residual: the conditions that the server tests on
    each row.
    """

    index: str
    in_order: bool
    along: tuple[Condition, ...]
    residual: tuple[Condition, ...]

    @classmethod
    def of(cls, query: Query, field: Field, *, in_order: bool) -> Path:
        """The path along the index that begins with a field."""
        along = tuple(query.on(field.name))
        residual = tuple(one for one in query.conditions if one not in along)
        return cls(query.table.index(field), in_order, along, residual)

    @property
    def conditions(self) -> list[Condition]:
        """All conditions of the query."""
        return [*self.along, *(one.tested for one in self.residual)]

    @property
    def needs_window(self) -> bool:
        """Whether a page may have to skip an unlimited number of rows that do not match."""
        return self.in_order and bool(self.residual)


async def path_of(fetch: Fetch, query: Query, most: int) -> Path:
    """The path of a query. It may count the rows that match the filters.

    most: the rows that a filter may leave to be sorted.
    """
    if query.on(ID.name):
        return Path.of(query, ID, in_order=False)
    ordered = list(_in_order(query))
    complete = [path for path in ordered if not path.residual]
    if complete:
        return complete[0]
    choices = {path.index: path for path in _by_filter(query)}
    choices |= {path.index: path for path in reversed(ordered) if path.along}
    counts = await _counts(fetch, query, choices.values(), most)
    smallest = min(counts, key=lambda path: counts[path], default=ordered[0])
    few = counts.get(smallest, most + 1) <= most
    return smallest if few or smallest.in_order else ordered[0]


def _in_order(query: Query) -> Iterable[Path]:
    """The paths in the order of the list, the most selective one first."""
    first = query.order.fields[0]
    if first is ID:
        # The index of a foreign key has the rows of each parent by id.
        for condition in query.conditions:
            if condition.field.references and condition.is_one_value:
                yield Path.of(query, condition.field, in_order=True)
    yield Path.of(query, first, in_order=True)


def _by_filter(query: Query) -> Iterable[Path]:
    for condition in query.conditions:
        if condition.field.index:
            yield Path.of(query, condition.field, in_order=False)


async def _counts(fetch: Fetch, query: Query, paths: Iterable[Path], most: int) -> dict[Path, int]:
    """How many rows each path reads, up to `most` + 1."""
    return {path: await count_up_to(fetch, query, path, path.along, most) for path in paths}


async def count_up_to(
    fetch: Fetch,
    query: Query,
    path: Path,
    conditions: Sequence[Condition],
    most: int,
    end: Key | None = None,
) -> int:
    """How many rows along a path match, up to `most` + 1.

    Prefixes are counted one after the other: for several, MySQL may read the whole index.
    """
    statement = sql.with_names(SQL["count_up_to"], table=query.table.name, index=path.index)
    count = 0
    for some in _alternatives(conditions):
        text, values = query.where(some, end=end)
        counted = sql.with_parts(statement, conditions=text)
        ((found,),) = await fetch(counted, (*values, most + 1 - count))
        count += found
        if count > most:
            break
    return count


def _alternatives(conditions: Sequence[Condition]) -> Iterable[Sequence[Condition]]:
    """The conditions with each part of the one that has several; a row matches once."""
    for at, one in enumerate(conditions):
        if one.either:
            return [[*conditions[:at], part, *conditions[at + 1 :]] for part in one.either]
    return [conditions]


async def end_of_window(
    fetch: Fetch, query: Query, path: Path, after: Key | None, rows: int
) -> Key | None:
    """The key of the last of the next `rows` rows along a path; None if there are fewer."""
    text, values = query.where(path.along, after)
    order = query.order
    statement = sql.with_names(
        SQL["nth"], columns=order.columns, table=query.table.name, index=path.index
    )
    statement = sql.with_parts(statement, conditions=text, order=order.text(query.table.name))
    found = await fetch(statement, (*values, rows - 1))
    return found[0] if found else None
