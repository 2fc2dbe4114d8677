"""The routes of the console."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from litestar import Response, Router, get
from litestar.params import FromPath
from litestar.response import File
from litestar.status_codes import HTTP_304_NOT_MODIFIED

from service.core.errors import NotFoundError
from service.web.console.actions import ACTIONS
from service.web.console.html import ERRORS, STATIC, AnyRequest
from service.web.console.pages import backups, jobs, overview, rejects, reports, row, tables

STATIC_FILES = {path.name: path for path in STATIC.iterdir()}
TAGS = {name: f'"{sha256(path.read_bytes()).hexdigest()}"' for name, path in STATIC_FILES.items()}


@get("/static/{name:str}", name="static")
async def static(request: AnyRequest, name: FromPath[str]) -> Response[Any]:
    """A file that the pages load. An unknown name never reaches the disk.

    Browsers must ask each time whether their copy is current. Installed files have old dates, so
    browsers would otherwise keep their copies for months, also after an upgrade.
    """
    if name not in STATIC_FILES:
        raise NotFoundError(f"There is no static file {name[:100]!r}.")
    headers = {"Cache-Control": "private, no-cache", "ETag": TAGS[name]}
    if TAGS[name] in request.headers.get("If-None-Match", ""):
        return Response(None, status_code=HTTP_304_NOT_MODIFIED, headers=headers)
    return File(
        STATIC_FILES[name], filename=name, content_disposition_type="inline", headers=headers
    )


console = Router(
    "/",
    route_handlers=[
        *(overview.overview, tables.rows, row.row, jobs.load, backups.backups),
        *(rejects.rejects, reports.report_page, jobs.job),
        Router("/console", route_handlers=[*ACTIONS, static]),
    ],
    exception_handlers=ERRORS,
    include_in_schema=False,
)
