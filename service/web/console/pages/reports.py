"""The reports with their charts."""

from __future__ import annotations

from litestar import get
from litestar.response import Template

from service.core import reports
from service.core.reports import DEPARTMENTS_ABOVE_MEAN, HIRES_BY_QUARTER
from service.web.api.parameters import InjectedReader
from service.web.api.reports import Year
from service.web.console.html import AnyRequest, page


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
