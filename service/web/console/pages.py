"""The pages."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from litestar import Request, get
from litestar.datastructures import State
from litestar.params import FromPath, FromQuery, QueryParameter
from litestar.response import Template

from service.core import reports
from service.core.backups.backup_store import BackupStore, Listed
from service.core.database.transactions import Database
from service.core.errors import NotFoundError, UnavailableError
from service.core.reports import DEPARTMENTS_ABOVE_MEAN, HIRES_BY_QUARTER
from service.core.rules.fields import MAX_ID
from service.core.tables import TABLES, Table, by_name, by_path
from service.core.threads import in_thread
from service.core.writes.rejects import REJECTS
from service.web.access.basic_auth import ROLE
from service.web.api.parameters import MAX_AFTER, After, TheDatabase
from service.web.api.rejects import as_object
from service.web.api.reports import Year
from service.web.console.html import page

Any_ = Request[Any, Any, Any]
Source = Literal["api", "loader", "restore", ""]
Before = Annotated[int | None, QueryParameter(ge=1, le=MAX_AFTER)]
PAGE, RECENT = 50, 5
SHOWN = 1000
"""Characters of a rejected record, and of its errors in JSON: `/rejects/{id}` has all."""
CODES = (
    "missing unknown_field type blank too_long out_of_range format control_character not_found "
    "duplicate malformed"
).split()


@get("/")
async def overview(request: Any_, database: TheDatabase, state: State) -> Template:
    """All at a glance; also when the database is away."""
    counts, rejects, jobs, health = {}, [], [], "The database answers."
    try:
        counts = {table.path: await _count(database, table) for table in TABLES}
        rejects = await _rejects(database, MAX_AFTER, RECENT)
        jobs = await state.jobs.latest(RECENT)
    except UnavailableError as error:
        health = f"{error} See that the database runs, then reload."
    return page(
        request,
        "overview.html",
        counts=counts,
        rejects=rejects,
        health=health,
        well=bool(counts),
        backups=await _backups(request, state, RECENT),
        jobs=jobs,
    )


@get("/console/tables/{table:str}")
async def rows(
    request: Any_, database: TheDatabase, table: FromPath[str], after: After = 0
) -> Template:
    found = by_path(table)
    shown = await database.fetch(found.sql["page"], (after, PAGE))
    following = shown[-1][0] if len(shown) == PAGE else None
    listed = [found.as_object(row) for row in shown]
    return page(request, "rows.html", table=found, rows=listed, after=after, following=following)


@get("/console/tables/{table:str}/{row_id:int}")
async def row(
    request: Any_, database: TheDatabase, table: FromPath[str], row_id: FromPath[int]
) -> Template:
    found = by_path(table)
    shown = await database.fetch(found.sql["find"], (row_id,)) if row_id <= MAX_ID else []
    if not shown:
        raise NotFoundError(f"There is no row {row_id} in {found.path}.")
    parents = {field.name: by_name(field.references or "").path for _, field in found.parents}
    return page(request, "row.html", table=found, row=found.as_object(shown[0]), parents=parents)


@get("/console/load")
async def load(request: Any_, state: State) -> Template:
    jobs = await state.jobs.latest(PAGE)
    return page(request, "load.html", jobs=[job for job in jobs if job.kind == "load"])


@get("/console/backups", opt={ROLE: "operator"})
async def backups(request: Any_, state: State) -> Template:
    jobs = await state.jobs.latest(PAGE)
    return page(
        request,
        "backups.html",
        backups=await _backups(request, state, 1000),
        jobs=[job for job in jobs if job.kind != "load"][:RECENT],
    )


@get("/console/rejects")
async def rejects(
    request: Any_,
    database: TheDatabase,
    table: FromQuery[str] = "",
    source: FromQuery[Source] = "",
    code: FromQuery[str] = "",
    before: Before = None,
) -> Template:
    name = by_path(table).name if table else None
    shown = await _rejects(database, before or MAX_AFTER, PAGE, name, source or None, code or None)
    return page(
        request,
        "rejects.html",
        rejects=shown,
        wanted={"table": table, "source": source, "code": code},
        codes=CODES,
        following=shown[-1]["id"] if len(shown) == PAGE else None,
    )


@get("/console/reports")
async def figures(request: Any_, database: TheDatabase, year: Year = None) -> Template:
    years = await reports.years(database)
    wanted = year or (years[-1] if years else None)
    return page(
        request,
        "reports.html",
        years=years,
        year=wanted,
        quarterly=await HIRES_BY_QUARTER.rows(database, wanted),
        above=await DEPARTMENTS_ABOVE_MEAN.rows(database, wanted),
        mean=await reports.mean(database, wanted) if wanted else 0.0,
    )


@get("/console/jobs/{job_id:str}")
async def job(request: Any_, state: State, job_id: FromPath[str]) -> Template:
    found = await state.jobs.find(job_id)
    return page(request, "job.html", job=found)


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
    wanted = msgspec.json.encode({"code": code}).decode() if code else None
    parameters = (SHOWN, SHOWN, before, table, table, source, source, wanted, wanted, limit)
    found = await database.fetch(REJECTS["latest"], parameters)
    return [as_object(one) for one in found]


async def _backups(request: Any_, state: State, count: int) -> list[Listed]:
    if "operator" not in request.auth:
        return []
    listed = await in_thread(BackupStore(state.settings.backup_dir).list)
    return listed[::-1][:count]


PAGES = [overview, rows, row, load, backups, rejects, figures, job]
