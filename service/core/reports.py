"""Reports of a year, counted by the database, in UTC."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
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
    """A report: its name in paths, the struct of its rows, its title and its order.

    ordered: returns the rows of the query in the order of the report, as the columns of `row`.
    """

    path: str
    row: type[R]
    title: str
    ordered: Callable[[list[Row]], list[Row]]

    @property
    def name(self) -> str:
        """The name of its SQL statement."""
        return self.path.replace("-", "_")

    async def rows(self, database: Database, year: int | None = None) -> list[R]:
        """The rows of a year, by default of the latest year with hires; [] without hires.

        hires-by-quarter: by department and job in alphabetical order, then by their ids;
        departments-above-mean: most hires first, then by id.
        """
        year = year or await latest_year(database)
        if year is None:
            return []
        rows = await database.fetch(SQL[self.name], _bounds(year))
        # There can be a row for each department and job. Sorting them would block the event loop.
        return await in_thread(self._in_order, rows)

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


async def years(database: Database) -> range:
    """From the year of the first hire to that of the latest; empty without hires."""
    ((first, last),) = await database.fetch(SQL["years"])
    return range(0) if first is None else range(first, last + 1)


async def mean(database: Database, year: int) -> float:
    """The mean number of hires of a department in a year; 0 without departments."""
    ((hired, departments),) = await database.fetch(SQL["mean"], _bounds(year))
    return hired / departments if departments else 0.0


def _bounds(year: int) -> tuple[str, str]:
    return f"{year:04}-01-01", f"{year:04}-12-31 23:59:59.999999"


def _alphabetical(rows: list[Row]) -> list[Row]:
    """Rows of (department_id, job_id, department, job, …), without the ids."""
    departments, jobs = ranks(row[2] for row in rows), ranks(row[3] for row in rows)
    rows.sort(key=lambda row: (departments[row[2]], jobs[row[3]], row[0], row[1]))
    return [row[2:] for row in rows]


HIRES_BY_QUARTER = Report(
    "hires-by-quarter", QuarterlyHires, "Hires by quarter", ordered=_alphabetical
)
DEPARTMENTS_ABOVE_MEAN = Report(
    "departments-above-mean",
    DepartmentHires,
    "Departments that hired more than the mean",
    ordered=list,
)
REPORTS: tuple[Report[Any], ...] = (HIRES_BY_QUARTER, DEPARTMENTS_ABOVE_MEAN)
