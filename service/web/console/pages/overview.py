"""The overview: counts, rejects, backups and jobs."""

from __future__ import annotations

from litestar import get
from litestar.datastructures import State
from litestar.response import Template

from service.core.database.transactions import Database
from service.core.errors import UnavailableError
from service.core.tables import TABLES, Table
from service.web.api.parameters import MAX_AFTER, InjectedDatabase
from service.web.console.html import AnyRequest, page
from service.web.console.pages.backups import latest_backups
from service.web.console.pages.rejects import latest_rejects

RECENT = 5


@get("/")
async def overview(request: AnyRequest, database: InjectedDatabase, state: State) -> Template:
    """Counts, rejects, backups and jobs; also while the database is not available."""
    counts, rejects, jobs, health = {}, [], [], "The database is available."
    try:
        counts = {table.path: await _count(database, table) for table in TABLES}
        rejects = await latest_rejects(database, MAX_AFTER, RECENT)
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
        backups=await latest_backups(request, state, RECENT),
        jobs=jobs,
    )


async def _count(database: Database, table: Table) -> int:
    ((count,),) = await database.fetch(table.sql["count"])
    return int(count)
