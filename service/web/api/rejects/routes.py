"""The routes of lists of rejects and of single ones: rows that were not inserted."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator, Callable, Iterable
from functools import partial
from typing import Annotated, Any, Literal

import msgspec
from litestar import Request, Router, get
from litestar.datastructures import State
from litestar.params import FromQuery, QueryParameter
from litestar.response.base import ASGIResponse

from service.core.database.transactions import Database
from service.core.reads.lines import header_of
from service.core.reads.query import PAGE
from service.core.rules.fields import MAX_LONG
from service.core.tables import by_path
from service.core.writes.rejects import REJECTS, end_of_page, find_reject
from service.web.api.downloads import Download
from service.web.api.parameters import (
    PARAMETERS,
    After,
    InjectedDatabase,
    Limit,
    RowId,
    texts_of,
)
from service.web.api.rejects import lines
from service.web.api.rejects.files import rejects_file
from service.web.api.rejects.outcomes import (
    correction,
    corrections,
    dismissal,
    summary,
)
from service.web.api.tables import exports, lists
from service.web.openapi import lists as listed
from service.web.openapi import operations

FACTS = ("id", "rejected_at", "source", "origin", "table", "position")
OUTCOME = ("state", "closed_at", "closed_by", "reason", "row_id")
COLUMNS = (*FACTS, "record", "errors", "record_length", "error_count", *OUTCOME)
SHOWN = 4096
"""Characters of a record, and of its errors in JSON, that a list shows."""
PAGE_BYTES = 4 << 20
"""Bytes of rows in a page of the list."""
CHUNK = 1 << 18
"""Characters of a whole record in one query: at most 1 MiB."""

_json = json.JSONDecoder()
_gap = re.compile(r"[,\s]*")


@get(
    "/",
    operation_id="list_rejects",
    summary="Rows that were not inserted, and why",
    operation_class=listed.REJECTS,
    opt={PARAMETERS: ("format", "formulas")},
)
async def page(
    request: Request[Any, Any, Any],
    state: State,
    table: Annotated[
        str | None, QueryParameter(description="departments, jobs or employees")
    ] = None,
    source: FromQuery[Literal["api", "loader", "restore"] | None] = None,
    state_: Annotated[
        Literal["open", "corrected", "dismissed"] | None, QueryParameter(name="state")
    ] = None,
    after: After = 0,
    limit: Limit = PAGE,
) -> ASGIResponse:
    name = by_path(table).name if table else None
    select = partial(_parameters, name, source, state_)
    texts = texts_of(request)
    media_type = exports.media_type_of(request, texts)
    if media_type in exports.FORMS:
        form, formulas = exports.form_of(media_type, texts)
        columns = (*COLUMNS, "truncated")
        stream = lines.stream(
            await state.replicas.current(),
            REJECTS["page"],
            select,
            header_of(columns, form),
            lambda rows: lines.lines_of(map(as_object, rows), columns, form, formulas),
            after,
        )
        return await exports.file(request, state, stream, "rejects", media_type)
    exports.refuse_formulas(texts)
    # Each filter by itself has an index, or leaves most rejects.
    end = None
    if state_ or (name and source):
        end = await end_of_page(state.database.fetch, name, after)
    select = partial(select, end=end or MAX_LONG)
    return lists.page_reply(request, await _page(state.database, select, after, limit, end))


def _parameters(
    name: str | None,
    source: str | None,
    outcome: str | None,
    after: int,
    count: int,
    end: int = MAX_LONG,
) -> tuple[int | str | None, ...]:
    """Those of the statement of a page. end: the last reject that it looks at."""
    chosen = (name, name, source, source, outcome, outcome)
    return (SHOWN, SHOWN, after, end, *chosen, count)


async def _page(
    database: Database,
    select: Callable[[int, int], tuple[Any, ...]],
    after: int,
    limit: int,
    end: int | None,
) -> dict[str, Any]:
    """At most `limit` rejects; end: of those that the page looks at, None if it looks at all."""
    shown: list[msgspec.Raw] = []
    room = PAGE_BYTES
    while count := min(lines.FETCHED, limit - len(shown)):
        rows = await database.fetch(REJECTS["page"], select(after, count))
        for row in rows:
            encoded = msgspec.json.encode(as_object(row))
            room -= len(encoded) + len(",")
            if room < 0:
                return {"rows": shown, "next": after}
            shown.append(msgspec.Raw(encoded))
            after = row[0]
        if len(rows) < count:
            return {"rows": shown, "next": end}
    return {"rows": shown, "next": after}


@get(
    "/{reject_id:int}",
    operation_id="get_reject",
    summary="One reject with its whole record and all errors",
    operation_class=operations.REJECT,
)
async def one(database: InjectedDatabase, reject_id: RowId) -> Download:
    row = await find_reject(database.fetch, REJECTS["find"], reject_id)
    return Download(iterator=_whole(database, row), media_type="application/json")


def as_object(row: Iterable[Any]) -> dict[str, Any]:
    """A reject as lists show it; `truncated` if its record or its errors are incomplete."""
    reject = dict(zip(COLUMNS, row, strict=True))
    _mark_utc(reject)
    reject["errors"] = _complete_errors(reject["errors"])
    reject["truncated"] = (
        len(reject["record"]) < reject["record_length"]
        or len(reject["errors"]) < reject["error_count"]
    )
    return reject


def _mark_utc(reject: dict[str, Any]) -> None:
    for name in ("rejected_at", "closed_at"):
        reject[name] = reject[name] and f"{reject[name]}Z"


def _complete_errors(text: str) -> list[Any]:
    """The complete errors in a JSON array that may be truncated."""
    errors: list[Any] = []
    at = len("[")
    while gap := _gap.match(text, at):
        try:
            error, at = _json.raw_decode(text, gap.end())
        except ValueError:
            break
        errors.append(error)
    return errors


async def _whole(database: Database, row: tuple[Any, ...]) -> AsyncGenerator[bytes]:
    """A reject in JSON; its two long texts are read in chunks."""
    characters, count, of_errors = row[len(FACTS) : -len(OUTCOME)]
    reject = dict(zip((*FACTS, *OUTCOME), (*row[: len(FACTS)], *row[-len(OUTCOME) :]), strict=True))
    _mark_utc(reject)
    outcome = {name: reject.pop(name) for name in OUTCOME}
    yield msgspec.json.encode(reject)[:-1] + b',"record":"'
    async for text in _chunks(database, "record", reject["id"], characters):
        yield msgspec.json.encode(text)[1:-1]
    yield b'","errors":'
    async for text in _chunks(database, "errors", reject["id"], of_errors):
        yield text.encode()
    rest = {"record_length": characters, "error_count": count, **outcome, "truncated": False}
    yield b"," + msgspec.json.encode(rest)[1:]


async def _chunks(
    database: Database, column: Literal["record", "errors"], key: int, characters: int
) -> AsyncGenerator[str]:
    for start in range(1, characters + 1, CHUNK):
        # A purge may have deleted the row. Then the reply ends early, and the client notices.
        ((text,),) = await database.fetch(REJECTS[f"part_of_{column}"], (start, CHUNK, key))
        yield text


rejects = Router(
    "/rejects",
    route_handlers=[page, summary, rejects_file, one, correction, corrections, dismissal],
    tags=["rejects"],
)
