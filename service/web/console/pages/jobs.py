"""The page of a job."""

from __future__ import annotations

from litestar import get
from litestar.datastructures import State
from litestar.params import FromPath
from litestar.response import Template

from service.web.console.html import AnyRequest, page


@get("/console/jobs/{job_id:str}")
async def job(request: AnyRequest, state: State, job_id: FromPath[str]) -> Template:
    return page(request, "job.html", job=await state.jobs.find(job_id))
