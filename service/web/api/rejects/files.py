"""The open rejects of a table as a rejects file: correct it and load it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Annotated, Any

import msgspec
from litestar import Request, get
from litestar.datastructures import State
from litestar.params import FromQuery, QueryParameter

from loader.reading.layout import layout_of
from loader.reporting.rejects_file import header_of, line_of, quoted
from service.core.database.statements import Row
from service.core.database.transactions import Database
from service.core.rules.fields import Error
from service.core.rules.reject import Reject
from service.core.tables import Table, by_path
from service.core.writes.corrections.files import key_of
from service.core.writes.corrections.records import fields_of
from service.core.writes.corrections.rule import LONGEST
from service.core.writes.rejects import REJECTS
from service.web.api.downloads import Download
from service.web.api.rejects.lines import stream
from service.web.api.tables import exports
from service.web.openapi import reject_outcomes as documented

_errors = msgspec.json.Decoder(list[Error])


@get(
    "/file",
    operation_id="download_rejects",
    summary="The open rejects of a table as a file to correct and load",
    operation_class=documented.FILE,
)
async def rejects_file(
    request: Request[Any, Any, Any],
    state: State,
    table: Annotated[str, QueryParameter(description="departments, jobs or employees")],
    origin: FromQuery[str | None] = None,
) -> Download:
    chosen = by_path(table)
    rejects = _stream(await state.replicas.current(), chosen, origin)
    return await exports.file(request, state, rejects, f"{chosen.name}.rejects", "text/csv")


def _stream(database: Database, table: Table, origin: str | None) -> AsyncGenerator[bytes]:
    """The rejects that came from files with ids, from one snapshot."""
    return stream(
        database,
        REJECTS["of_files"],
        lambda after, count: (after, table.name, origin, origin, LONGEST, count),
        header_of(layout_of(table, table.columns, ",")).encode() + b"\n",
        lambda rows: b"".join(line_of(",", _reject(table, row)) for row in rows),
    )


def _reject(table: Table, row: Row) -> Reject:
    _, origin_key, line, record, errors, layout = row
    fields = fields_of(table, "loader", record, layout)
    text = record if fields is None else ",".join(map(quoted, fields.values()))
    return Reject(line, text, _errors.decode(errors), key_of(origin_key, line))
