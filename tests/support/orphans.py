"""Parents that are deleted while rows are written. No row may be left without its parents."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from contextlib import suppress
from pathlib import Path

from service.core.database.transactions import Database
from service.core.errors import ContentionError

REMOVE = "DELETE FROM departments WHERE id = %s"
REMOVE_HIRES = "DELETE FROM hired_employees WHERE department_id = %s"
ADD = "INSERT INTO departments (id, department) VALUES (%s, 'again')"
ORPHANS = """
    SELECT COUNT(*) FROM hired_employees AS hires
    LEFT JOIN departments ON departments.id = hires.department_id + 0
    LEFT JOIN jobs ON jobs.id = hires.job_id + 0
    WHERE departments.id IS NULL OR jobs.id IS NULL
"""
"""Without `+ 0`, seekdb trusts the foreign keys: it reads no parents, and finds no orphan ever."""
PARENTS = 8
FIRST = 1_000_000_000
PAUSE = 0.005
SECONDS = 60
"""Longer than a lock wait, so that a busy machine ends no deletion at its COMMIT."""


def write_hires(folder: Path, count: int) -> Path:
    """A file of so many hires, with ids above those that batches get."""
    path = folder / "hired_employees.csv"
    with path.open("w") as file:
        for at in range(FIRST, FIRST + count):
            file.write(f"{at},Ana,2021-07-27T16:02:08Z,{1 + at % PARENTS},1\n")
    return path


async def delete_parents(database: Database, stop: asyncio.Event, outcomes: Counter[str]) -> None:
    """Delete departments, some with their hires, and add them again; counts what was deleted."""
    chosen = random.Random(1)
    while not stop.is_set():
        number = chosen.randint(1, PARENTS)
        with suppress(ContentionError):
            hires = await _delete(database, number, with_hires=chosen.random() < 0.5)
            outcomes["deleted"] += 1
            outcomes["hires"] += hires
            await asyncio.sleep(PAUSE)
            async with database.transaction() as transaction:
                await transaction.execute(ADD, (number,))
        await asyncio.sleep(PAUSE)


async def _delete(database: Database, number: int, *, with_hires: bool) -> int:
    """Delete a department; the number of hires that were deleted with it."""
    async with database.transaction(SECONDS) as transaction:
        hires = await transaction.execute(REMOVE_HIRES, (number,)) if with_hires else 0
        await transaction.execute(REMOVE, (number,))
    return hires
