"""The reports with their charts: a year by quarter, compared with the year before."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from litestar import get
from litestar.params import FromQuery
from litestar.response import Template

from service.core import reports
from service.core.collation import ranks
from service.core.database.transactions import Database
from service.core.errors import ParameterError
from service.core.reads.filters import read_value
from service.core.reports import QUARTERS, Compared
from service.core.tables import ID, by_path
from service.core.threads import in_thread
from service.web.api.parameters import InjectedReader
from service.web.api.reports import Year
from service.web.console.html import AnyRequest, page

SHOWN = 500
"""Most rows of the table by job. The CSV has all."""
COLUMNS = ("department", "job", *QUARTERS, "total", "before", "change")
DEFAULT = "department"
"""The order in which the rows are counted."""
ORDERS = frozenset([*COLUMNS, *(f"-{name}" for name in COLUMNS)])


@get("/console/reports")
async def report_page(
    request: AnyRequest,
    reader: InjectedReader,
    year: Year = None,
    department_id: FromQuery[str] = "",
    order: FromQuery[str] = DEFAULT,
) -> Template:
    if order not in ORDERS:
        text = f"must be one of {', '.join(COLUMNS)}, or one with - before"
        raise ParameterError({"order": text})
    year = year or await reports.latest_year(reader)
    # A form sends "" for all departments.
    department = read_value("department_id", ID, department_id) if department_id else None
    chosen = {"year": year, "department_id": department, "order": order}
    # Concurrently, because each is a query for each year or more.
    years, content = await asyncio.gather(
        reports.years(reader), _content(reader, order, year, department)
    )
    return page(request, "reports.html", years=years, link=_links(chosen), **chosen, **content)


async def _content(
    reader: Database, order: str, year: int | None, department: int | None
) -> dict[str, Any]:
    """The counts of a year, for the template; none without a year."""
    if year is None:
        return {}
    rows, count = await asyncio.gather(
        reports.compared(reader, year), _number_of_departments(reader)
    )
    # In a thread: there can be a row for each department and job.
    return await in_thread(_summed, rows, order, department, count)


def _summed(rows: list[Compared], order: str, department: int | None, count: int) -> dict[str, Any]:
    """The rows of a year in the order, and their sums. count: of departments."""
    departments = reports.by_department(rows)
    mean = sum(sum(one.hired) for one in departments) / count if count else 0.0
    jobs = [row for row in rows if department in (None, row.department_id)]
    return {
        "departments": _ordered(departments, order),
        "jobs": _ordered(jobs, order),
        "shown": SHOWN,
        "total": reports.total(jobs),
        "comparable": any(any(one.before) for one in departments),
        "mean": mean,
        "above": sorted(
            (one for one in departments if sum(one.hired) > mean),
            key=lambda one: (-sum(one.hired), one.department_id),
        ),
        "quarters": QUARTERS,
    }


async def _number_of_departments(reader: Database) -> int:
    ((count,),) = await reader.fetch(by_path("departments").sql["count"])
    return int(count)


def _ordered(rows: list[Compared], order: str) -> list[Compared]:
    """The rows by a column, or from its last value to its first if it has - before it."""
    if order == DEFAULT:
        return rows
    return sorted(rows, key=_key(order.lstrip("-"), rows), reverse=order.startswith("-"))


def _key(column: str, rows: list[Compared]) -> Callable[[Compared], int]:
    if column in ("department", "job"):
        places = ranks(getattr(row, column) for row in rows)
        return lambda row: places[getattr(row, column)]
    if column in QUARTERS:
        return lambda row: row.hired[QUARTERS.index(column)]
    if column == "change":
        return lambda row: row.change
    return lambda row: sum(row.hired if column == "total" else row.before)


def _links(chosen: dict[str, Any]) -> Callable[..., str]:
    """A function that gives the address of this page with other choices."""

    def link(**changes: Any) -> str:
        values = {name: value for name, value in (chosen | changes).items() if value}
        return f"/console/reports?{urlencode(values)}"

    return link
