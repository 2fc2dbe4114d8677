"""Departments for tests of transactions, which are added and listed by SQL of the tests."""

from __future__ import annotations

from service.core.database.transactions import Database

ADD = "INSERT INTO departments (id, department) VALUES (%s, %s)"
SIGNAL = "SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = {}"
"""Raises an error of the server with this number."""


async def add(database: Database, number: int, name: str) -> None:
    """Add a department."""
    async with database.transaction() as transaction:
        await transaction.execute(ADD, (number, name))


async def names(database: Database) -> list[str]:
    """The names of all departments, in the order of their ids."""
    rows = await database.fetch("SELECT department FROM departments ORDER BY id")
    return [name for (name,) in rows]
