"""Hires for tests: rows to post, their parents, and the contents of the tables."""

from __future__ import annotations

from typing import Any

from service.core.database.transactions import Database
from service.core.rules.batch import Batch
from service.core.tables import TABLES, by_path, children

MOMENT = "2021-07-27T16:02:08Z"
EMPLOYEES = by_path("employees")
PARENTS = [table for table in TABLES if children(table)]


def hire(**fields: Any) -> dict[str, Any]:
    """A valid row, if departments and jobs have a row 1."""
    return {"name": "Ana Gómez", "datetime": MOMENT, "department_id": 1, "job_id": 1} | fields


async def add_parents(database: Database, ids: range) -> None:
    """Departments and jobs with these ids."""
    async with database.transaction() as transaction:
        for table in PARENTS:
            rows = [(number, f"{table.path} {number}") for number in ids]
            await transaction.insert(table.sql["insert_with_id"], rows)


async def add_hire_7(database: Database, name: str = "Ana") -> None:
    """A hire with the id 7, in department 1 with job 2."""
    async with database.transaction() as transaction:
        row = (7, name, MOMENT.removesuffix("Z"), 1, 2)
        await transaction.insert(EMPLOYEES.sql["insert_with_id"], [row])


async def count(database: Database, table: str) -> int:
    """The number of rows in a table."""
    return int((await database.fetch(f"SELECT COUNT(*) FROM {table}"))[0][0])


async def names(database: Database) -> dict[int, str]:
    """The names of all hires, by id."""
    return dict(await database.fetch("SELECT id, name FROM hired_employees"))


def codes_of(validated: Batch) -> list[tuple[str | None, str]]:
    """(field, code) of every error of the only reject of a batch."""
    (reject,) = validated.rejects
    return [(error.field, error.code) for error in reject.errors]


def codes(failure: dict[str, Any]) -> set[tuple[str | None, str]]:
    """(field, code) of each error of a failure."""
    return {(error["field"], error["code"]) for error in failure["errors"]}
