"""Staged restores: the tables are swapped whole, and look as if nothing had happened."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from typing import Any

import pytest

from service.core.backups.restore import restore
from service.core.backups.staged import choice
from service.core.backups.staged.guard import guarded
from service.core.database.transactions import Database
from service.core.errors import OrphansError, RowsRefused
from service.core.progress import Step
from service.core.tables import TABLES, Table
from tests.support.backup_files import DEPARTMENTS, EMPLOYEES, JOBS, avro_file, records
from tests.support.restores import contents

ALL = ((DEPARTMENTS, 3), (JOBS, 5), (EMPLOYEES, 60))
OURS = {
    *(table.name for table in TABLES),
    *("console_jobs", "idempotency_keys", "loads", "rejects", "schema_migrations"),
}


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every restore of more than a few rows is staged, in several chunks."""
    monkeypatch.setattr(choice, "LARGE_ROWS", 20)
    monkeypatch.setattr(choice, "DECODED_ROWS", 10)


@pytest.fixture(autouse=True)
async def nothing_left(database: Database) -> AsyncIterator[None]:
    yield
    names = {name for (name,) in await database.fetch("SHOW TABLES")}
    assert names == OURS
    assert await database.fetch("SELECT * FROM loads") == []
    assert await guarded(database) == set()


async def put(
    database: Database, *files: tuple[Table, list[dict[str, Any]]], steps: list[str] | None = None
) -> Any:
    """Restore rows; steps: gets the names of the steps."""

    def follow(step: Step) -> None:
        if steps is not None and step.name not in steps:
            steps.append(step.name)

    sources = [(table, io.BytesIO(avro_file(table, rows))) for table, rows in files]
    return await restore(database, sources, "replace", progress=follow)


async def definitions(database: Database) -> dict[str, Any]:
    return {
        table.name: (await database.fetch(f"SHOW CREATE TABLE {table.name}"))[0][1]
        for table in TABLES
    }


async def test_a_table_is_swapped(filled: Database) -> None:
    before, steps = await definitions(filled), list[str]()
    rows = records(EMPLOYEES, 60)[5:]
    rows[0] |= {"name": "Changed"}
    (done,) = await put(filled, (EMPLOYEES, rows), steps=steps)
    assert (done.restored, done.added, done.changed, done.removed) == (55, 30, 1, 5)
    assert done.verified
    assert "swap" in steps
    stored = await filled.fetch("SELECT id, name FROM hired_employees ORDER BY id")
    assert stored == [(row["id"], row["name"]) for row in rows]
    after = await definitions(filled)
    assert after == {**before, "hired_employees": after["hired_employees"]}
    assert after["hired_employees"].replace("=61 ", "=31 ") == before["hired_employees"]


async def test_all_tables_are_swapped(filled: Database) -> None:
    before = await definitions(filled)
    done = await put(
        filled,
        *((table, records(table, count)[1:]) for table, count in ALL[:2]),
        (EMPLOYEES, [row | {"department_id": 2, "job_id": 3} for row in records(EMPLOYEES, 30)]),
    )
    assert [(one.added, one.changed, one.removed) for one in done] == [
        (0, 0, 1),
        (0, 0, 1),
        (0, 28, 0),
    ]
    assert await definitions(filled) == before
    with pytest.raises(Exception, match="1452"):
        await filled.fetch("INSERT INTO hired_employees VALUES (99, 'A', '2021-01-01', 1, 3)")


async def test_orphans_are_refused(filled: Database) -> None:
    before = await contents(filled)
    rows = records(EMPLOYEES, 60)
    rows[40] |= {"department_id": 77}
    with pytest.raises(OrphansError, match="row 41 of employees, whose department_id is 77"):
        await put(filled, (EMPLOYEES, rows))
    assert await contents(filled) == before


async def test_a_row_that_breaks_a_rule_is_refused(filled: Database) -> None:
    before = await contents(filled)
    rows = records(EMPLOYEES, 60)
    rows[40] |= {"name": " "}
    with pytest.raises(RowsRefused) as refused:
        await put(filled, (EMPLOYEES, rows))
    assert [reject.position for reject in refused.value.rejects] == [40]
    assert await contents(filled) == before
