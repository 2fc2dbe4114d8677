"""The pages of the console, and its routes."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

import msgspec
from litestar import Request, Router, get, route
from litestar.datastructures import State
from litestar.params import FromPath, FromQuery, QueryParameter
from litestar.response import File, Template

from service.core import reports
from service.core.backups.backup_store import Listed
from service.core.database.transactions import Database
from service.core.errors import NotFoundError, UnavailableError
from service.core.reports import DEPARTMENTS_ABOVE_MEAN, HIRES_BY_QUARTER
from service.core.rules.fields import Code
from service.core.tables import TABLES, Table, by_name, by_path
from service.core.threads import in_thread
from service.core.writes.rejects import REJECTS
from service.web.access.basic_auth import ROLE
from service.web.api.parameters import MAX_AFTER, After, InjectedDatabase, InjectedReader
from service.web.api.rejects import as_object
from service.web.api.reports import Year
from service.web.api.rows import find_row
from service.web.api.tables.lists import list_rows
from service.web.console.actions import ACTIONS
from service.web.console.html import ERRORS, STATIC, page

AnyRequest = Request[Any, Any, Any]
Source = Literal["api", "loader", "restore", ""]
Before = Annotated[int | None, QueryParameter(ge=1, le=MAX_AFTER)]
PAGE, RECENT = 50, 5
STATIC_FILES = {path.name: path for path in STATIC.iterdir()}
SHOWN = 1000
"""Most characters of a record, and of its errors as JSON; `/rejects/{id}` has all."""


@get("/")
async def overview(request: AnyRequest, database: InjectedDatabase, state: State) -> Template:
    """Counts, rejects, backups and jobs; also while the database is not available."""
    counts, rejects, jobs, health = {}, [], [], "The database is available."
    try:
        counts = {table.path: await _count(database, table) for table in TABLES}
        rejects = await _rejects(database, MAX_AFTER, RECENT)
        jobs = await state.jobs.latest(RECENT)
    except UnavailableError as error:
        health = f"{error} Check that the database is running, then reload."
    return page(
        request,
        "overview.html",
        counts=counts,
        rejects=rejects,
        health=health,
        healthy=bool(counts),
        backups=await _backups(request, state, RECENT),
        jobs=jobs,
    )


@get("/console/tables/{table:str}")
async def rows(
    request: AnyRequest, database: InjectedDatabase, table: FromPath[str], after: After = 0
) -> Template:
    listed = by_path(table)
    found = await list_rows(database, listed, after, PAGE)
    return page(request, "rows.html", table=listed, after=after, **found)


@get("/console/tables/{table:str}/{row_id:int}")
async def row(
    request: AnyRequest, database: InjectedDatabase, table: FromPath[str], row_id: FromPath[int]
) -> Template:
    owner = by_path(table)
    found = await find_row(database, owner, row_id)
    parents = {field.name: by_name(field.references or "").path for _, field in owner.parents}
    return page(request, "row.html", table=owner, row=found, parents=parents)


@get("/console/load")
async def load(request: AnyRequest, state: State) -> Template:
    jobs = await state.jobs.latest(PAGE)
    return page(request, "load.html", jobs=[job for job in jobs if job.kind == "load"])


@get("/console/backups", opt={ROLE: "operator"})
async def backups(request: AnyRequest, state: State) -> Template:
    jobs = await state.jobs.latest(PAGE)
    return page(
        request,
        "backups.html",
        backups=await _backups(request, state, 1000),
        jobs=[job for job in jobs if job.kind != "load"][:RECENT],
    )


@get("/console/rejects")
async def rejects(
    request: AnyRequest,
    database: InjectedDatabase,
    table: FromQuery[str] = "",
    source: FromQuery[Source] = "",
    code: FromQuery[str] = "",
    before: Before = None,
) -> Template:
    name = by_path(table).name if table else None
    latest = await _rejects(database, before or MAX_AFTER, PAGE, name, source or None, code or None)
    return page(
        request,
        "rejects.html",
        rejects=latest,
        filters={"table": table, "source": source, "code": code},
        codes=get_args(Code),
        following=latest[-1]["id"] if len(latest) == PAGE else None,
    )


@get("/console/reports")
async def report_page(request: AnyRequest, reader: InjectedReader, year: Year = None) -> Template:
    years = await reports.years(reader)
    year = year or (years[-1] if years else None)
    return page(
        request,
        "reports.html",
        years=years,
        year=year,
        quarterly=await HIRES_BY_QUARTER.rows(reader, year),
        above=await DEPARTMENTS_ABOVE_MEAN.rows(reader, year),
        mean=await reports.mean(reader, year) if year else 0.0,
    )


@get("/console/jobs/{job_id:str}")
async def job(request: AnyRequest, state: State, job_id: FromPath[str]) -> Template:
    return page(request, "job.html", job=await state.jobs.find(job_id))


async def _count(database: Database, table: Table) -> int:
    ((count,),) = await database.fetch(table.sql["count"])
    return int(count)


async def _rejects(
    database: Database,
    before: int,
    limit: int,
    table: str | None = None,
    source: str | None = None,
    code: str | None = None,
) -> list[dict[str, Any]]:
    error = msgspec.json.encode({"code": code}).decode() if code else None
    parameters = (SHOWN, SHOWN, before, table, table, source, source, error, error, limit)
    return [as_object(one) for one in await database.fetch(REJECTS["latest"], parameters)]


async def _backups(request: AnyRequest, state: State, count: int) -> list[Listed]:
    if "operator" not in request.auth:
        return []
    listed: list[Listed] = await in_thread(state.backup_store.list)
    return listed[::-1][:count]


@route("/static/{name:str}", http_method=["GET", "HEAD"], name="static")
async def static(name: FromPath[str]) -> File:
    """A file that the pages load. An unknown name never reaches the disk."""
    if name not in STATIC_FILES:
        raise NotFoundError(f"There is no static file {name[:100]!r}.")
    return File(STATIC_FILES[name], filename=name, content_disposition_type="inline")


console = Router(
    "/",
    route_handlers=[
        *(overview, rows, row, load, backups, rejects, report_page, job),
        Router("/console", route_handlers=[*ACTIONS, static]),
    ],
    exception_handlers=ERRORS,
    include_in_schema=False,
)
