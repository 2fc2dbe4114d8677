"""The search of a table: inputs by the types of its fields, and what they ask of the API."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import urlencode

from service.core.database.transactions import Database
from service.core.errors import ParameterError
from service.core.reads import pages
from service.core.reads.filters import MOST_VALUES, Filter, filters_of
from service.core.reads.orders import orders_of
from service.core.reads.parents import Parent, names_of, parents_of
from service.core.reads.query import Query, Texts, query_of
from service.core.rules.field_types import Moment
from service.core.tables import TABLES, Table
from service.web.api.tables.lists import repeatable
from service.web.console.pages.inputs import Input, Typed, label_of, typed

OF_PAGES = ("after", "order", "count")
OF_ONE_PAGE = ("after", "count")
DAY = re.compile(r"\d{4}-\d\d-\d\d")
NONE = "No {what} begins with this. Upper and lower case count."
TOO_MANY = f"More than {MOST_VALUES} begin with this. Type more of the name."


def known_parameters(table: Table) -> set[str]:
    """The parameters of a table's page: filters, names of parents, and those of any page."""
    return {*OF_PAGES, *filters_of(table), *parents_of(table)}


PARAMETERS = tuple(sorted(set().union(*map(known_parameters, TABLES))))
REPEATABLE = tuple(sorted({name for table in TABLES for name in repeatable(table)} - {"expand"}))


@dataclass
class Search:
    """A search: its inputs, the parameters as the page got them, and as the API takes them.

    invalid: a value breaks a rule. unmatched: no row can match, because no parent has the name.
    """

    table: Table
    given: dict[str, list[str]]
    inputs: list[Input] = field(default_factory=list)
    texts: dict[str, list[str]] = field(default_factory=dict)
    invalid: bool = False
    unmatched: bool = False

    @property
    def query(self) -> Query:
        """What to read, with the names of all parents; ParameterError."""
        pager = {name: self.given[name] for name in ("after", "order") if name in self.given}
        return query_of(self.table, self.texts | pager | {"expand": list(parents_of(self.table))})

    @property
    def order(self) -> str:
        """The order of the list."""
        return self.given.get("order", ["id"])[0]

    @property
    def filters(self) -> dict[str, list[str]]:
        """The filters as the page got them."""
        return {name: texts for name, texts in self.given.items() if name not in OF_PAGES}

    def link(self, **pager: str | int) -> str:
        """The address of the same search with another order, or further on."""
        kept = {name: texts for name, texts in self.given.items() if name not in OF_ONE_PAGE}
        asked = urlencode({**kept, **pager}, doseq=True)
        return f"/console/tables/{self.table.path}{'?' * bool(asked)}{asked}"

    def file(self, form: str, **options: str) -> str:
        """The address of all its rows as a file."""
        parents = ",".join(parents_of(self.table))
        expand = {"expand": [parents]} if parents else {}
        order = {"order": [self.order]} if self.order != "id" else {}
        asked = {**self.texts, **order, **expand, "format": [form]}
        return f"/{self.table.path}?{urlencode({**asked, **options}, doseq=True)}"


async def search_of(database: Database, table: Table, given: Texts) -> Search:
    """The search that the parameters of a page ask for; ParameterError if one is not known."""
    asked = {name: [text for text in texts if text] for name, texts in given.items()}
    search = Search(table, {name: texts for name, texts in asked.items() if texts})
    for name in search.given.keys() - known_parameters(table):
        raise ParameterError(name, f"is no filter of {table.path}")
    parents = {parent.reference.name: parent for parent in parents_of(table).values()}
    for one in filters_of(table).values():
        parent = parents.get(one.field.name)
        _filter(search, one, parent)
        if parent:
            await _by_name(search, database, one, parent)
    return search


def _filter(search: Search, one: Filter, parent: Parent | None) -> None:
    """The inputs of a filter: one for each value, and none for the number of a parent."""
    values = search.given.get(one.name, [])
    sent, error = [_as_sent(one, text) for text in values], ""
    if sent:
        search.texts[one.name] = sent
        try:
            one.condition(sent)
        except ParameterError as refused:
            error, search.invalid = f"{refused.message}.", True
    for text in values or [""] * (parent is None):
        search.inputs.append(
            Input(one.name, label_of(one.name), _typed(one, text), text, error=error)
        )


def _typed(one: Filter, text: str) -> Typed:
    kind = typed(one.field.kind)
    if kind not in ("moment", "date"):
        return kind
    # A browser shows no other value than a day in an input for days.
    return "date" if not text or DAY.fullmatch(text) else "text"


def _as_sent(one: Filter, text: str) -> str:
    """A value as the API takes it: a day alone is its beginning in UTC."""
    of_time = isinstance(one.field.kind, Moment) and DAY.fullmatch(text)
    return f"{text}T00:00:00Z" if of_time else text


async def _by_name(search: Search, database: Database, one: Filter, parent: Parent) -> None:
    """The input of a parent's name: rows of the parents that have it, else that begin with it."""
    (text,) = search.given.get(parent.name, [""])
    error = ""
    if text:
        try:
            found = await _ids(database, parent, text)
            wanted = search.texts.get(one.name, found)
            search.texts[one.name] = [key for key in found if key in wanted]
            search.unmatched |= not search.texts[one.name]
            error = "" if found else NONE.format(what=label_of(parent.name))
        except ParameterError as refused:
            error, search.invalid = f"{refused.message}.", True
    named = Input(parent.name, label_of(parent.name), "text", text, error, parent=parent)
    search.inputs.append(named)
    await _explain(search, database, one, parent)


async def _ids(database: Database, parent: Parent, text: str) -> Sequence[str]:
    """The ids of the parents with this name, else of those whose names begin with it."""
    name, asked = parent.field.name, {parent.field.name: [text]}
    if name in orders_of(parent.table):
        asked["order"] = [name]  # so that a name comes before those that begin with it
    page = await pages.page(database, query_of(parent.table, asked), MOST_VALUES)
    exact = [row for row in page.rows if row[name] == text]
    if page.next is not None and not exact:
        raise ParameterError(parent.name, TOO_MANY.removesuffix("."))
    return [str(row["id"]) for row in exact or page.rows]


async def _explain(search: Search, database: Database, one: Filter, parent: Parent) -> None:
    """Say the names of parents that are given by their numbers."""
    numbers = [text for text in search.given.get(one.name, []) if not search.invalid]
    if numbers:
        rows = [(int(text),) for text in numbers]
        names = await names_of(database.fetch, parent, rows, 0)
        search.inputs = [
            replace(shown, note=names.get(int(shown.value), "")) if shown.name == one.name else shown
            for shown in search.inputs
        ]
