"""Reports of a year, counted by the database, in UTC; and a year compared with the one before."""

from __future__ import annotations

import asyncio
import csv
import io
from calendar import monthrange
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, TypeVar

from msgspec import Struct
from msgspec.structs import astuple

import sql
from service.core.collation import ranks
from service.core.database.statements import Row
from service.core.database.transactions import Database
from service.core.threads import in_thread

SQL = sql.statements("reports")
FIRST_YEAR, LAST_YEAR = 1000, 9999
YEARS = 60
"""Most years of a list. Each takes one look at the index."""
QUARTERS = ("Q1", "Q2", "Q3", "Q4")


class QuarterlyHires(Struct, frozen=True):
    """The hires of a department for a job, by quarter."""

    department: str
    job: str
    Q1: int
    Q2: int
    Q3: int
    Q4: int


class DepartmentHires(Struct, frozen=True):
    """The hires of a department."""

    id: int
    department: str
    hired: int


R = TypeVar("R", QuarterlyHires, DepartmentHires)


class Report(Struct, Generic[R], frozen=True):
    """A report: its name in paths, the struct of its rows, its title, its periods and its order.

    periods: returns the first and the last moment of each period of a year that the query counts.
    ordered: returns the rows of the query in the order of the report, as the columns of `row`.
    """

    path: str
    row: type[R]
    title: str
    periods: Callable[[int], Sequence[str]]
    ordered: Callable[[list[Row]], list[Row]]

    @property
    def name(self) -> str:
        """The name of its SQL statement."""
        return self.path.replace("-", "_")

    async def rows(
        self, database: Database, year: int | None = None, department: int | None = None
    ) -> list[R]:
        """The rows of a year, by default of the latest year with hires; [] without hires.

        department: the id of the only department of the rows; all of them by default.
        hires-by-quarter: by department and job in alphabetical order, then by their ids;
        departments-above-mean: most hires first, then by id.
        """
        year = year or await latest_year(database)
        if year is None:
            return []
        rows = await self.counted(database, year)
        if department is not None:
            rows = [row for row in rows if row[0] == department]
        # There can be a row for each department and job. Sorting them would block the event loop.
        return await in_thread(self._in_order, rows)

    async def counted(self, database: Database, year: int) -> list[Row]:
        """The rows of the query for a year, in no order."""
        return await database.fetch(SQL[self.name], self.periods(year))

    def _in_order(self, rows: list[Row]) -> list[R]:
        return [self.row(*row) for row in self.ordered(rows)]

    def as_csv(self, rows: Sequence[R]) -> str:
        """The rows as CSV with a header (RFC 4180)."""
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(self.row.__struct_fields__)
        writer.writerows(map(astuple, rows))
        return text.getvalue()


async def latest_year(database: Database) -> int | None:
    """The year of the latest hire."""
    ((year,),) = await database.fetch(SQL["latest_year"])
    return None if year is None else int(year)


async def years(database: Database) -> list[int]:
    """The years with hires, latest first, at most YEARS."""
    found: list[int] = []
    year = await latest_year(database)
    while year is not None and len(found) < YEARS:
        found.append(year)
        ((year,),) = await database.fetch(SQL["latest_year_before"], (f"{year:04}-01-01",))
    return found


async def mean(database: Database, year: int) -> float:
    """The mean number of hires of a department in a year; 0 without departments."""
    ((hired, departments),) = await database.fetch(SQL["mean"], moments(year))
    return hired / departments if departments else 0.0


def moments(year: int, first: int = 1, last: int = 12) -> tuple[str, str]:
    """The first and the last moment (UTC) of a period from one month of a year to another."""
    days = monthrange(year, last)[1]
    return f"{year:04}-{first:02}-01", f"{year:04}-{last:02}-{days} 23:59:59.999999"


def _quarters(year: int) -> list[str]:
    return [moment for first in (1, 4, 7, 10) for moment in moments(year, first, first + 2)]


def _alphabetical(rows: list[Row]) -> list[Row]:
    """Rows of (department_id, job_id, department, job, …), without the ids."""
    _sort(rows)
    return [row[2:] for row in rows]


def _sort(rows: list[Row]) -> None:
    departments, jobs = ranks(row[2] for row in rows), ranks(row[3] for row in rows)
    rows.sort(key=lambda row: (departments[row[2]], jobs[row[3]], row[0], row[1]))


class Compared(Struct, frozen=True):
    """The hires of a department for a job, by quarter: of a year, and of the year before.

    job: "" for the hires of a department for all jobs.
    """

    department_id: int
    department: str
    job: str
    hired: tuple[int, ...]
    before: tuple[int, ...]

    @property
    def change(self) -> int:
        """The hires of the year less those of the year before."""
        return sum(self.hired) - sum(self.before)


NO_HIRES = (0,) * len(QUARTERS)


async def compared(database: Database, year: int) -> list[Compared]:
    """Departments and jobs with hires in the year or in the year before, in alphabetical order."""
    asked = [one for one in (year, year - 1) if one >= FIRST_YEAR]
    # Concurrently, because each counts the rows of a year.
    found = await asyncio.gather(*(HIRES_BY_QUARTER.counted(database, one) for one in asked))
    return await in_thread(_compare, *found)


def _compare(hired: list[Row], before: Sequence[Row] = ()) -> list[Compared]:
    rows = list({row[:2]: row[:4] for row in (*before, *hired)}.values())
    _sort(rows)
    now, then = ({row[:2]: row[4:] for row in counted} for counted in (hired, before))
    return [
        Compared(row[0], row[2], row[3], now.get(row[:2], NO_HIRES), then.get(row[:2], NO_HIRES))
        for row in rows
    ]


def by_department(rows: Iterable[Compared]) -> list[Compared]:
    """One row for each department, in the order in which they come first."""
    departments: dict[tuple[int, str], list[Compared]] = {}
    for row in rows:
        departments.setdefault((row.department_id, row.department), []).append(row)
    return [total(some, *department) for department, some in departments.items()]


def total(rows: Sequence[Compared], department_id: int = 0, department: str = "") -> Compared:
    """The sum of the rows."""
    quarters = range(len(QUARTERS))
    hired = tuple(sum(row.hired[quarter] for row in rows) for quarter in quarters)
    before = tuple(sum(row.before[quarter] for row in rows) for quarter in quarters)
    return Compared(department_id, department, "", hired, before)


HIRES_BY_QUARTER = Report(
    "hires-by-quarter",
    QuarterlyHires,
    "Hires by quarter",
    periods=_quarters,
    ordered=_alphabetical,
)
DEPARTMENTS_ABOVE_MEAN = Report(
    "departments-above-mean",
    DepartmentHires,
    "Departments that hired more than the mean",
    periods=moments,
    ordered=list,
)
REPORTS: tuple[Report[Any], ...] = (HIRES_BY_QUARTER, DEPARTMENTS_ABOVE_MEAN)
