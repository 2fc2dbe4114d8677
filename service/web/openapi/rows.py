"""The OpenAPI document of single rows."""

from __future__ import annotations

from litestar.openapi.spec import OpenAPIHeader, OpenAPIType, Schema

from service.core.tables import Table
from service.web.openapi.lists import LINK
from service.web.openapi.operations import (
    ENCODING,
    JSON,
    KEY,
    DocumentedOperation,
    ReplySpec,
    documented,
    header,
    json_body,
    reference,
)
from service.web.openapi.schemas import change, changes_of, sample, stored_sample, without_required

ETAG = {
    "ETag": OpenAPIHeader(
        schema=Schema(type=OpenAPIType.STRING), description="changes with the row"
    )
}
IF_MATCH = header(
    "If-Match", "An `ETag` of the row: 412 if the row has changed since. Without it, no check."
)


def shows(table: Table) -> type[DocumentedOperation]:
    """`GET /{table}/{id}`."""
    return documented({200: _row("The row.", table)}, 404)


def changes(table: Table) -> type[DocumentedOperation]:
    """`PATCH /{table}/{id}`."""
    first = table.fields[0].name
    body = json_body(
        reference(without_required(table)),
        {"one field": {first: sample(table)[first]}},
        media_types=(JSON, "application/merge-patch+json"),
    )
    return documented(
        {200: _row("The row as it is now.", table)},
        *(404, 409, 412, 413, 415, 422),
        body=body,
        headers=(IF_MATCH, KEY, ENCODING),
    )


def deletes(table: Table) -> type[DocumentedOperation]:
    """`DELETE /{table}/{id}`."""
    replies = {200: _row("The row as it was.", table)}
    return documented(replies, 404, 409, 412, 422, headers=(IF_MATCH, KEY))


def history(table: Table) -> type[DocumentedOperation]:
    """`GET /{table}/{id}/changes`."""
    page = {"rows": [change(table)], "next": None}
    reply = ReplySpec(
        "A page, oldest first.", changes_of(table), {"a deletion": page}, headers=LINK
    )
    return documented({200: reply}, 404)


def _row(text: str, table: Table) -> ReplySpec:
    return ReplySpec(text, table.stored, {"a row": stored_sample(table)}, headers=ETAG)
