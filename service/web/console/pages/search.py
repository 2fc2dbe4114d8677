"""The search of a table: its inputs, and the parameters of the API that they stand for."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
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
from service.web.console.pages.inputs import Input, InputType, input_type, label_of

OF_PAGES = ("after", "order", "count")
OF_ONE_PAGE = ("after", "count")
DAY = re.compile(r"\d{4}-\d\d-\d\d")
NO_PARENT = "No {what} begins with this. Upper and lower case count."
TOO_MANY = f"is the beginning of more than {MOST_VALUES} names. Type more of it"


def known_parameters(table: Table) -> set[str]:
    """The parameters of a table's page: filters, names of parents, and those of any page."""
    return {*OF_PAGES, *filters_of(table), *parents_of(table)}


PARAMETERS = tuple(sorted(set().union(*map(known_parameters, TABLES))))
REPEATABLE = tuple(sorted({name for table in TABLES for name in repeatable(table)} - {"expand"}))


@dataclass
class Search:
    """A search: its inputs, and its parameters as the page gets them and as the API takes them.

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
    def is_filtered(self) -> bool:
        """Whether there is a filter."""
        return bool(self.given.keys() - OF_PAGES)

    def link(self, **pager: str | int) -> str:
        """The address of the same search in another order, or on another page."""
        kept = {name: texts for name, texts in self.given.items() if name not in OF_ONE_PAGE}
        asked = urlencode({**kept, **pager}, doseq=True)
        return f"/console/tables/{self.table.path}{'?' if asked else ''}{asked}"

    def file(self, form: str, **options: str) -> str:
        """The address of all its rows as a file."""
        parents = list(parents_of(self.table))
        asked = {**self.texts, "order": self.order, "expand": parents, "format": form, **options}
        return f"/{self.table.path}?{urlencode(asked, doseq=True)}"

    def refuse(self, error: ParameterError) -> str:
        """What is wrong with a value, as a sentence."""
        self.invalid = True
        return " ".join(f"{text}." for text in error.wrong.values())


async def search_of(database: Database, table: Table, given: Texts) -> Search:
    """The search that the parameters of a page ask for; ParameterError if one is not known."""
    filled = {name: [text for text in texts if text] for name, texts in given.items()}
    search = Search(table, {name: texts for name, texts in filled.items() if texts})
    _check_names(search)
    parents = {parent.reference.name: parent for parent in parents_of(table).values()}
    for one in filters_of(table).values():
        if parent := parents.get(one.field.name):
            await _by_number(search, database, one, parent)
            await _by_name(search, database, one, parent)
        else:
            _by_value(search, one)
    return search


def _check_names(search: Search) -> None:
    """ParameterError for a parameter of another table, or one that has several values only there.

    The route knows the parameters of all tables.
    """
    table, several = search.table, repeatable(search.table)
    for name, texts in search.given.items():
        if name not in known_parameters(table):
            raise ParameterError({name: f"is no filter of {table.path}"})
        if len(texts) > 1 and name not in several:
            raise ParameterError({name: "is sent more than once. Send it once"})


def _by_value(search: Search, one: Filter) -> None:
    """Inputs of the values of a filter; an empty one if there are none."""
    error = _take(search, one)
    for text in search.given.get(one.name, [""]):
        shown = Input(one.name, label_of(one.name), _type_of(one, text), text, error)
        search.inputs.append(shown)


async def _by_number(search: Search, database: Database, one: Filter, parent: Parent) -> None:
    """Inputs for the ids of parents, with their names; none without ids."""
    error = _take(search, one)
    numbers = search.given.get(one.name, [])
    rows = [] if error else [(int(text),) for text in numbers]
    names = await names_of(database.fetch, parent, rows, 0)
    for text in numbers:
        note = "" if error else names.get(int(text), "")
        search.inputs.append(Input(one.name, label_of(one.name), "number", text, error, note=note))


async def _by_name(search: Search, database: Database, one: Filter, parent: Parent) -> None:
    """The input for the name of a parent. It stands for the ids of the parents with this name."""
    (text,), error = search.given.get(parent.name, [""]), ""
    try:
        found = await _ids(database, parent, text) if text else None
    except ParameterError as refused:
        found, error = None, search.refuse(refused)
    if found is not None:
        numbers = search.texts.get(one.name, found)
        search.texts[one.name] = [key for key in found if key in numbers]
        search.unmatched = search.unmatched or not search.texts[one.name]
        error = "" if found else NO_PARENT.format(what=label_of(parent.name))
    named = Input(parent.name, label_of(parent.name), "text", text, error, parent=parent)
    search.inputs.append(named)


def _take(search: Search, one: Filter) -> str:
    """Convert the values of a filter for the API; the error, if a value is wrong."""
    values = search.given.get(one.name)
    if values is None:
        return ""
    search.texts[one.name] = [_as_sent(one, text) for text in values]
    try:
        one.condition(search.texts[one.name])
    except ParameterError as refused:
        return search.refuse(refused)
    return ""


def _type_of(one: Filter, text: str) -> InputType:
    kind = input_type(one.field.kind)
    if kind not in ("moment", "date"):
        return kind
    # An input for dates shows only a date.
    return "date" if not text or DAY.fullmatch(text) else "text"


def _as_sent(one: Filter, text: str) -> str:
    """A value as the API takes it. For a moment, a day means its beginning in UTC."""
    is_day = isinstance(one.field.kind, Moment) and DAY.fullmatch(text)
    return f"{text}T00:00:00Z" if is_day else text


async def _ids(database: Database, parent: Parent, text: str) -> Sequence[str]:
    """The ids of the parents with this name; without one, of those whose names begin with it."""
    name = parent.field.name
    # In the order of names, a name comes before those that begin with it.
    order = {"order": [name]} if name in orders_of(parent.table) else {}
    query = query_of(parent.table, {name: [text], **order})
    page = await pages.page(database, query, MOST_VALUES)
    exact = [row for row in page.rows if row[name] == text]
    if page.next is not None and not exact:
        raise ParameterError({parent.name: TOO_MANY})
    return [str(row["id"]) for row in exact or page.rows]
