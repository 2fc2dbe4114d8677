"""Restores that run at the same time: the tables are what one of the files says."""

from __future__ import annotations

import asyncio
import io
from random import Random
from typing import Any

import pytest

from service.core.backups.restore import restore
from service.core.database.transactions import Database
from tests.support.backup_files import DEPARTMENTS, avro_file, records

ROWS = 60


def versions(random: Random, count: int) -> list[list[dict[str, Any]]]:
    """Departments as several files have them: some rows equal, some changed, some missing."""
    rows = records(DEPARTMENTS, ROWS)
    return [
        [
            {**row, "department": f"File {file}"} if random.random() < 0.5 else row
            for row in rows
            if random.random() < 0.9
        ]
        for file in range(count)
    ]


@pytest.mark.parametrize("seed", range(8))
async def test_the_tables_are_those_of_one_file(database: Database, seed: int) -> None:
    files = versions(Random(seed), 3)

    async def one(rows: list[dict[str, Any]]) -> bool:
        file = io.BytesIO(avro_file(DEPARTMENTS, rows, page=7))
        (done,) = await restore(database, [(DEPARTMENTS, file)], "replace")
        return done.verified

    await one(records(DEPARTMENTS, ROWS))
    assert all(await asyncio.gather(*map(one, files)))
    stored = await database.fetch("SELECT id, department FROM departments ORDER BY id")
    assert stored in [[(row["id"], row["department"]) for row in rows] for rows in files]
