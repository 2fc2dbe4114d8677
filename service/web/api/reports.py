"""The routes of the reports: as JSON, as CSV, and as charts."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

import msgspec
from litestar import Request, Response, Router, get
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.spec import OpenAPIMediaType, OpenAPIType, Schema
from litestar.params import QueryParameter

from service.core.database.transactions import Database
from service.core.reports import (
    DEPARTMENTS_ABOVE_MEAN,
    FIRST_YEAR,
    HIRES_BY_QUARTER,
    LAST_YEAR,
    REPORTS,
    DepartmentHires,
    QuarterlyHires,
    Report,
    latest_year,
    mean,
)
from service.core.rules.fields import MAX_ID
from service.core.threads import in_thread
from service.web.api import charts
from service.web.api.parameters import InjectedReader
from service.web.openapi.operations import ReplySpec, documented, named, reference, text_of

JSON, CSV = "application/json", "text/csv"
Year = Annotated[
    int | None,
    QueryParameter(ge=FIRST_YEAR, le=LAST_YEAR, description="default: the latest year with hires"),
]
DepartmentId = Annotated[
    int | None,
    QueryParameter(ge=1, le=MAX_ID, description="only this department; default: all of them"),
]
Draw = Callable[[Database, int | None, int | None], Awaitable[bytes]]

CHART_HEADERS = {
    # A chart that is opened by itself needs only its inline style.
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    "Vary": "Authorization",
}


EXAMPLES: dict[type, Any] = {
    QuarterlyHires: QuarterlyHires("Supply Chain", "Data Engineer", 3, 0, 7, 1),
    DepartmentHires: DepartmentHires(7, "Supply Chain", 45),
}
CHART_OPERATION = documented({200: ReplySpec("The chart.", media_types=("image/svg+xml",))})


@dataclass(frozen=True)
class ReportReply(ReplySpec):
    """A report in the OpenAPI document: an array, or CSV."""

    def content(self) -> dict[str, OpenAPIMediaType]:
        """The bodies, each with an example."""
        report = next(one for one in REPORTS if one.row is self.shape)
        row = EXAMPLES[report.row]
        rows = Schema(type=OpenAPIType.ARRAY, items=reference(report.row))
        example = named({"one row": [row]})
        return {
            JSON: OpenAPIMediaType(rows, examples=example),
            CSV: text_of("a header, then one row in each line", report.as_csv([row])),
        }


def _routes(report: Report[Any], draw: Draw) -> list[HTTPRouteHandler]:
    @get(
        f"/{report.path}",
        operation_id=report.name,
        summary=report.title,
        operation_class=documented({200: ReportReply("All rows, in their order.", report.row)}),
    )
    async def table(
        request: Request[Any, Any, Any],
        reader: InjectedReader,
        year: Year = None,
        department_id: DepartmentId = None,
    ) -> Response[bytes]:
        rows = await report.rows(reader, year, department_id)
        kind = request.accept.best_match([JSON, CSV], JSON)
        body = report.as_csv(rows).encode() if kind == CSV else msgspec.json.encode(rows)
        return Response(body, media_type=kind, headers={"Vary": "Accept"})

    @get(
        f"/{report.path}.svg",
        operation_id=f"{report.name}_chart",
        summary=f"{report.title}, as a chart",
        operation_class=CHART_OPERATION,
    )
    async def chart(
        reader: InjectedReader, year: Year = None, department_id: DepartmentId = None
    ) -> Response[bytes]:
        svg = await draw(reader, year or await latest_year(reader), department_id)
        return Response(svg, media_type="image/svg+xml", headers=CHART_HEADERS)

    return [table, chart]


async def _by_quarter(database: Database, year: int | None, department: int | None) -> bytes:
    rows = await HIRES_BY_QUARTER.rows(database, year, department)
    by_job = department is not None
    return await in_thread(partial(charts.hires_by_quarter, rows, year, by_job=by_job))


async def _above_mean(database: Database, year: int | None, department: int | None) -> bytes:
    if year is None:
        return charts.departments_above_mean([], None, 0)
    # Concurrently, because each counts the rows of the year.
    rows, mean_hires = await asyncio.gather(
        DEPARTMENTS_ABOVE_MEAN.rows(database, year, department), mean(database, year)
    )
    return await in_thread(charts.departments_above_mean, rows, year, mean_hires)


reports = Router(
    "/reports",
    route_handlers=[
        *_routes(HIRES_BY_QUARTER, _by_quarter),
        *_routes(DEPARTMENTS_ABOVE_MEAN, _above_mean),
    ],
    tags=["reports"],
)
