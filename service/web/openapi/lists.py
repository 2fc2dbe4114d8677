"""The OpenAPI document of lists: their filters, orders and media types come from the table."""

from __future__ import annotations

from typing import get_args

from litestar.openapi.spec import (
    OpenAPIHeader,
    OpenAPIMediaType,
    OpenAPIType,
    Parameter,
    Schema,
)

from service.core.reads.filters import Filter, filters_of
from service.core.reads.lines import Form, Formulas
from service.core.reads.orders import orders_of
from service.core.reads.parents import parents_of
from service.core.reads.query import PAGE
from service.core.rules.batch import MAX_ROWS
from service.core.tables import TABLES, Table
from service.web.openapi.operations import DocumentedOperation, ReplySpec, documented
from service.web.openapi.schemas import RejectPage, page_of, reject, stored_sample

LINK = {
    "Link": OpenAPIHeader(
        schema=Schema(type=OpenAPIType.STRING), description='the next page: `rel="next"`'
    )
}


class ListReply(ReplySpec):
    """A list in the OpenAPI document: a page, or a file."""

    def content(self) -> dict[str, OpenAPIMediaType]:
        """The bodies."""
        text = OpenAPIMediaType(Schema(type=OpenAPIType.STRING))
        return {**super().content(), "text/csv": text, "application/x-ndjson": text}


def lists(table: Table) -> type[DocumentedOperation]:
    """`GET /{table}`."""
    page = {"rows": [stored_sample(table)], "next": 1}
    text = "A page. As `text/csv` or `application/x-ndjson`: all rows as one file."
    reply = ListReply(text, page_of(table), {"a page of one": page}, headers=LINK)
    return documented({200: reply}, headers=tuple(parameters(table)))


def parameters(table: Table) -> list[Parameter]:
    """The parameters of a list."""
    filters = [_filter(one) for one in filters_of(table).values()]
    orders, parents = list(orders_of(table)), list(parents_of(table))
    after = Schema(one_of=[Schema(type=OpenAPIType.INTEGER), Schema(type=OpenAPIType.STRING)])
    limit = Schema(type=OpenAPIType.INTEGER, minimum=1, maximum=MAX_ROWS, default=PAGE)
    found = [
        _query("limit", limit, "the most rows in a page"),
        _query("after", after, "the `next` of the last page; in the order of ids, any id"),
        _query("order", _choice(orders, "id"), "how rows are sorted, `-` for descending"),
        _query("count", _choice(["exact"]), "also count the rows of all pages, which reads them"),
        FORMAT,
        FORMULAS,
        *filters,
    ]
    if parents:
        names = Schema(type=OpenAPIType.ARRAY, items=_choice(parents))
        found.append(_query("expand", names, "parents whose names each row has"))
    return found


def _filter(one: Filter) -> Parameter:
    value = Schema(type=OpenAPIType.STRING) if one.test != "one_of" else _value(one)
    several = Schema(type=OpenAPIType.ARRAY, items=value, max_items=one.most)
    return _query(one.name, several if one.most > 1 else value, one.description)


def _value(one: Filter) -> Schema:
    kinds = {"int": OpenAPIType.INTEGER, "long": OpenAPIType.INTEGER}
    kinds["boolean"] = OpenAPIType.BOOLEAN
    return Schema(type=kinds.get(str(one.field.kind.avro), OpenAPIType.STRING))


def _choice(names: list[str], default: str | None = None) -> Schema:
    return Schema(type=OpenAPIType.STRING, enum=names, default=default)


def _query(name: str, schema: Schema, text: str) -> Parameter:
    return Parameter(name, "query", schema, description=text)


FORMAT = _query(
    "format",
    _choice(["json", *get_args(Form)]),
    "the media type, for clients that cannot set `Accept`, such as links; it wins over `Accept`",
)
FORMULAS = _query(
    "formulas",
    _choice([*get_args(Formulas)], "keep"),
    "in CSV, whether a text that a spreadsheet reads as a formula gets a leading `'`",
)
REJECTS = documented(
    {
        200: ListReply(
            "A page, by id. As `text/csv` or `application/x-ndjson`: all rejects as one file.",
            RejectPage,
            {"a page of one": {"rows": [reject(TABLES[0])], "next": 1}},
            headers=LINK,
        )
    },
    404,
    headers=(FORMAT, FORMULAS),
)
