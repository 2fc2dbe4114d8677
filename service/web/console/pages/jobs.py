"""The pages on which a user chooses files to load, and follows a job."""

from __future__ import annotations

from litestar import get
from litestar.datastructures import State
from litestar.params import FromPath
from litestar.response import Template

from service.web.console.html import PAGE, AnyRequest, page
from service.web.console.jobs import token
from service.web.console.loads.uploads import MAX_FILES


@get("/console/load")
async def load(request: AnyRequest, state: State) -> Template:
    jobs = await state.jobs.latest(PAGE)
    loads = [job for job in jobs if job.kind == "load"]
    return page(request, "load.html", jobs=loads, upload=token(), most=MAX_FILES)


@get("/console/jobs/{job_id:str}")
async def job(request: AnyRequest, state: State, job_id: FromPath[str]) -> Template:
    return page(request, "job.html", job=await state.jobs.find(job_id))
