"""Files to load, and the results of a load."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from loader.options import Options
from loader.reading.file import CsvFile
from loader.reporting.summary import Summary
from service.core.database.transactions import Database
from service.core.tables import TABLES, by_name

HIRES = by_name("hired_employees")


def hire(number: int, name: str = "Ana", department: object = 1, job: object = 1) -> str:
    return f"{number},{name} {number},2021-03-04T05:06:{number % 60:02}Z,{department},{job}"


class Folder:
    """A folder with files to load, and a folder for their rejects."""

    def __init__(self, path: Path):
        self.path = path
        self.rejects = path / "rejects"
        self.write(departments=["1,Sales", "2,Legal"], jobs=["1,Clerk", "2,Cook"])
        self.write(hired_employees=[])

    def write(self, **tables: list[str]) -> None:
        for name, lines in tables.items():
            (self.path / f"{name}.csv").write_text("".join(f"{line}\n" for line in lines))

    def options(self, **chosen: Any) -> Options:
        return Options(self.path, self.rejects, **chosen)


async def state(database: Database) -> list[Any]:
    """All rows of the tables, and the log of rejects."""
    rows: list[Any] = []
    for table in TABLES:
        columns = ", ".join(f"`{column}`" for column in table.columns)
        rows.append(await database.fetch(f"SELECT {columns} FROM {table.name} ORDER BY id"))
    logged = await database.fetch(
        "SELECT source, origin, origin_key, table_name, position, record, errors FROM rejects "
        "ORDER BY origin_key, position"
    )
    return [*rows, [(*row, msgspec.json.decode(error)) for *row, error in logged]]


async def names(database: Database) -> dict[int, str]:
    return dict(await database.fetch("SELECT id, name FROM hired_employees"))


async def lines_logged(database: Database) -> list[int]:
    return [line for (line,) in await database.fetch("SELECT position FROM rejects ORDER BY 1")]


def outcomes(summaries: list[Summary]) -> list[Any]:
    """The parts of the summaries that do not depend on how the load went."""
    varying = ("seconds", "notes", "rejects_file", "dry_run")
    return [
        {name: value for name, value in summary.as_object().items() if name not in varying}
        for summary in summaries
    ]


def dirty(count: int) -> list[str]:
    """Hires with every kind of fault."""
    faults: dict[int, Callable[[int], str]] = {
        3: lambda at: hire(at, department=9),
        5: lambda at: f'{at},"open,2021-01-01T00:00:00Z,1,1',
        7: lambda at: f"{at},,never,x",
        11: lambda at: hire(at - 10, name="Other"),
        13: lambda at: hire(at - 12),
    }
    return [faults.get(at % 17, hire)(at) for at in range(1, count + 1)]


class Interrupted(Exception):
    """Ends a load after some blocks."""


class StopAfter:
    """A progress that ends a load after so many blocks of hires."""

    def __init__(self, blocks: int):
        self._left = blocks

    def __call__(self, _file: CsvFile, summary: Summary, _done: int) -> None:
        if summary.table is HIRES:
            self._left -= 1
            if self._left < 0:
                raise Interrupted


async def empty(database: Database) -> None:
    async with database.transaction() as transaction:
        for name in ("loads", "rejects", "hired_employees", "jobs", "departments"):
            await transaction.execute(f"DELETE FROM {name}")


async def until_blocks_are_in(database: Database, count: int) -> None:
    """Wait until a load has recorded `count` blocks."""
    while True:
        ((done,),) = await database.fetch("SELECT COUNT(*) FROM loads")
        if done >= count:
            return
        await asyncio.sleep(0.005)
