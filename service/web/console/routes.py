"""The routes of the console."""

from __future__ import annotations

from litestar import Router, route
from litestar.params import FromPath
from litestar.response import File

from service.core.errors import NotFoundError
from service.web.console.actions import ACTIONS
from service.web.console.html import ERRORS, STATIC
from service.web.console.pages import backups, jobs, load, overview, rejects, reports, row, tables

STATIC_FILES = {path.name: path for path in STATIC.iterdir()}


@route("/static/{name:str}", http_method=["GET", "HEAD"], name="static")
async def static(name: FromPath[str]) -> File:
    """A file that the pages load. An unknown name never reaches the disk."""
    if name not in STATIC_FILES:
        raise NotFoundError(f"There is no static file {name[:100]!r}.")
    return File(STATIC_FILES[name], filename=name, content_disposition_type="inline")


console = Router(
    "/",
    route_handlers=[
        *(overview.overview, tables.rows, row.row, load.load, backups.backups),
        *(rejects.rejects, reports.report_page, jobs.job),
        Router("/console", route_handlers=[*ACTIONS, static]),
    ],
    exception_handlers=ERRORS,
    include_in_schema=False,
)
