"""The page on which a user chooses files to load."""

from __future__ import annotations

from litestar import get
from litestar.datastructures import State
from litestar.response import Template

from service.web.console.html import PAGE, AnyRequest, page
from service.web.console.jobs import token
from service.web.console.uploads import MAX_FILES


@get("/console/load")
async def load(request: AnyRequest, state: State) -> Template:
    jobs = await state.jobs.latest(PAGE)
    loads = [job for job in jobs if job.kind == "load"]
    return page(request, "load.html", jobs=loads, upload=token(), most=MAX_FILES)
