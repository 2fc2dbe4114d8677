"""`GET /{table}` and `GET /rejects` as CSV or NDJSON: all rows as one file."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, cast, get_args

from litestar import Request
from litestar.datastructures import State
from litestar.datastructures.headers import Accept

from service.core.errors import ParameterError
from service.core.reads import exports
from service.core.reads.lines import Form, Formulas
from service.core.reads.query import Texts, query_of, read_all
from service.core.tables import Table
from service.web.api.downloads import Download, download, gzipped

JSON = "application/json"
FORMS: dict[str, Form] = {"application/x-ndjson": "ndjson", "text/csv": "csv"}
"""The form of a file by its media type."""
FORMATS: dict[str, str] = {"json": JSON} | {form: kind for kind, form in FORMS.items()}
"""The media type by the parameter `format`, for clients that cannot set a header, such as links."""
OF_PAGES = ("limit", "count")
FORMULAS = get_args(Formulas)
_is_refused = re.compile(r";\s*q\s*=\s*0(\.0*)?\s*(;|$)", re.IGNORECASE).search


def media_type_of(request: Request[Any, Any, Any], texts: Texts) -> str:
    """The media type of a list: `format`, else what the client prefers; ParameterError."""
    if "format" in texts:
        if texts["format"][0] not in FORMATS:
            raise ParameterError({"format": f"must be one of {', '.join(FORMATS)}"})
        return FORMATS[texts["format"][0]]
    ranges = ",".join(request.headers.getall("Accept", [])).split(",")
    accepted = Accept(",".join(one for one in ranges if not _is_refused(one)))
    return str(accepted.best_match([JSON, *FORMS], JSON))


def form_of(media_type: str, texts: Texts) -> tuple[Form, Formulas]:
    """The form of a file and what it does about formulas; ParameterError."""
    wrong = dict.fromkeys(
        (name for name in OF_PAGES if name in texts),
        "is for pages. A file has all rows, so leave it out",
    )
    form, formulas = FORMS[media_type], texts.get("formulas", ["keep"])[0]
    if formulas not in FORMULAS or (form != "csv" and formulas != "keep"):
        wrong["formulas"] = "must be keep or escape, and is for text/csv"
    if wrong:
        raise ParameterError(wrong)
    return form, cast("Formulas", formulas)


def refuse_formulas(texts: Texts) -> None:
    """ParameterError if a page has a parameter of CSV."""
    if texts.get("formulas", ["keep"]) != ["keep"]:  # generated clients send the default
        raise ParameterError({"formulas": "is for files, with Accept: text/csv"})


async def rows(
    table: Table, request: Request[Any, Any, Any], state: State, media_type: str, texts: Texts
) -> Download:
    """All rows of a list as a file."""
    (form, formulas), query = read_all(
        lambda: form_of(media_type, texts), lambda: query_of(table, texts)
    )
    stream = exports.stream(await state.replicas.current(), query, form, formulas)
    return await file(request, state, stream, table.name, media_type)


async def file(
    request: Request[Any, Any, Any],
    state: State,
    stream: AsyncGenerator[bytes],
    name: str,
    media_type: str,
) -> Download:
    """A stream as an attachment, compressed if the client accepts that."""
    headers = {"Vary": "Accept, Accept-Encoding"}
    limited = _limited(stream, state, name)
    if _accepts_gzip(request):
        limited, headers["Content-Encoding"] = gzipped(limited), "gzip"
    idle_timeout = state.settings.api_download_idle_timeout
    file_name = f"{name}.{FORMS[media_type]}"
    return await download(request, limited, media_type, file_name, idle_timeout, headers)


async def _limited(stream: AsyncGenerator[bytes], state: State, name: str) -> AsyncGenerator[bytes]:
    """The chunks of an export. It counts as long work until its end."""
    with state.long_work.place(), state.metrics.exporting(name):
        async with aclosing(stream):
            async for chunk in stream:
                state.metrics.export_bytes.inc(len(chunk))
                yield chunk


def _accepts_gzip(request: Request[Any, Any, Any]) -> bool:
    """Whether the client names gzip, or takes any coding but refuses plain text."""
    accepted: dict[str, bool] = {}
    for one in ",".join(request.headers.getall("Accept-Encoding", [])).lower().split(","):
        coding, _, quality = one.replace(" ", "").partition(";q=")
        accepted[coding] = not quality or quality.strip("0.") != ""
    others = accepted.get("*", False)
    return accepted.get("gzip", others and not accepted.get("identity", True))
