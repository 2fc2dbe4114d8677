"""The page of backups."""

from __future__ import annotations

from litestar import get
from litestar.datastructures import State
from litestar.response import Template

from service.core.backups.backup_store import Listed
from service.core.threads import in_thread
from service.web.access.basic_auth import ROLE
from service.web.console.html import PAGE, AnyRequest, page

RECENT = 5
"""Jobs that a page shows."""


@get("/console/backups", opt={ROLE: "operator"})
async def backups(request: AnyRequest, state: State) -> Template:
    jobs = await state.jobs.latest(PAGE)
    return page(
        request,
        "backups.html",
        backups=await latest_backups(request, state, 1000),
        jobs=[job for job in jobs if job.kind != "load"][:RECENT],
    )


async def latest_backups(request: AnyRequest, state: State, count: int) -> list[Listed]:
    """The newest backups; none for a user who is no operator."""
    if "operator" not in request.auth:
        return []
    listed: list[Listed] = await in_thread(state.backup_store.list)
    return listed[::-1][:count]
