"""Staged restores: the tables are swapped whole, and look as if nothing had happened."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from typing import Any

import fastavro
import pytest
from httpx import AsyncClient as Client

from service.core.backups.format import avro_schema
from service.core.backups.restore import restore
from service.core.backups.staged import changes
from service.core.backups.staged.definition import definition_of
from service.core.backups.staged.guard import add_guards, guarded
from service.core.backups.staged.leftovers import tidy
from service.core.database.statements import SQL
from service.core.database.transactions import Database
from service.core.errors import (
    BackupError,
    OrphansError,
    RowsRefused,
    StaleParentError,
    TableBusyError,
)
from service.core.progress import Step
from service.core.tables import TABLES, Table
from tests.support import engine
from tests.support.backup_files import DEPARTMENTS, EMPLOYEES, JOBS, avro_file, records
from tests.support.restores import contents, make_small

ALL = ((DEPARTMENTS, 3), (JOBS, 5), (EMPLOYEES, 60))
OURS = {
    *(table.name for table in TABLES),
    *("console_jobs", "idempotency_keys", "loads", "reject_outcomes", "rejects"),
    *("row_changes", "schema_migrations"),
}


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every restore of more than a few rows is staged, in several chunks."""
    make_small(monkeypatch.setattr)


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


class Stopped(BaseException):
    """As if the program had ended here."""


async def test_a_table_is_swapped(filled: Database) -> None:
    before, steps = await engine.definitions_without_ids(filled), list[str]()
    rows = records(EMPLOYEES, 60)[5:]
    rows[0] |= {"name": "Changed"}
    (done,) = await put(filled, (EMPLOYEES, rows), steps=steps)
    assert (done.restored, done.added, done.changed, done.removed) == (55, 30, 1, 5)
    assert done.verified
    assert "swap" in steps
    stored = await filled.fetch("SELECT id, name FROM hired_employees ORDER BY id")
    assert stored == [(row["id"], row["name"]) for row in rows]
    assert await engine.definitions_without_ids(filled) == before
    assert (await definition_of(filled, "hired_employees")).next_id >= 61


async def test_all_tables_are_swapped(filled: Database) -> None:
    before = await engine.definitions_without_ids(filled)
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
    assert await engine.definitions_without_ids(filled) == before
    row = (99, "Ana", "2021-01-01T00:00:00", 1, 3)
    async with filled.transaction() as transaction:
        with pytest.raises(StaleParentError):
            await transaction.insert(EMPLOYEES.sql["insert_with_id"], [row])


async def test_ids_go_on_where_they_were(filled: Database, client: Client) -> None:
    (key,) = (await client.post("/jobs", json={"job": "New"})).json()["ids"]
    files = [(table, records(table, count)) for table, count in ALL]
    await put(filled, *files)
    (later,) = (await client.post("/jobs", json={"job": "New"})).json()["ids"]
    assert later > key


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


async def test_a_foreign_file_is_restored(filled: Database) -> None:
    file = io.BytesIO()
    rows = records(EMPLOYEES, 60)
    fastavro.writer(file, avro_schema.schema(EMPLOYEES), [*reversed(rows)], sync_interval=300)
    (done,) = await restore(filled, [(EMPLOYEES, file)], "replace")
    assert (done.restored, done.added, done.changed, done.verified) == (60, 30, 0, False)
    assert await filled.fetch("SELECT COUNT(*) FROM hired_employees") == [(60,)]


@pytest.mark.parametrize("at", [5, 59])
async def test_a_foreign_file_with_an_id_twice_is_refused(filled: Database, at: int) -> None:
    before, file = await contents(filled), io.BytesIO()
    rows = records(EMPLOYEES, 60)
    fastavro.writer(file, avro_schema.schema(EMPLOYEES), [*rows, rows[at]])
    with pytest.raises(BackupError, match=f"two rows with id {rows[at]['id']}"):
        await restore(filled, [(EMPLOYEES, file)], "replace")
    assert await contents(filled) == before


async def test_rows_that_the_server_refuses_are_named(filled: Database) -> None:
    before = await contents(filled)
    await filled.fetch("ALTER TABLE hired_employees ADD CHECK (name <> 'Refused')")
    (check,) = (await definition_of(filled, "hired_employees")).checks
    rows = records(EMPLOYEES, 60)
    rows[44] |= {"name": "Refused"}
    try:
        with pytest.raises(RowsRefused) as refused:
            await put(filled, (EMPLOYEES, rows))
        shown = await engine.definitions_without_ids(filled)
        rows[44] |= {"name": "Accepted"}
        steps = list[str]()
        await put(filled, (EMPLOYEES, rows), steps=steps)
        # seekdb gives CHECKs names of its own.
        assert ("swap" in steps) != filled.embedded
        assert await engine.definitions_without_ids(filled) == shown
        await put(filled, (EMPLOYEES, records(EMPLOYEES, 30)))
    finally:
        await filled.fetch(f"ALTER TABLE hired_employees DROP CHECK {check}")
    assert [reject.position for reject in refused.value.rejects] == [44]
    assert await contents(filled) == before


async def test_a_damaged_file_is_refused(filled: Database) -> None:
    before = await contents(filled)
    content = bytearray(avro_file(EMPLOYEES, records(EMPLOYEES, 60), "null", page=10))
    at = content.index(b"50% off 4")
    content[at] ^= 1
    with pytest.raises(BackupError, match="damaged"):
        await restore(filled, [(EMPLOYEES, io.BytesIO(bytes(content)))], "replace")
    assert await contents(filled) == before


async def test_additions_of_a_dba_survive(filled: Database) -> None:
    await filled.fetch(
        "ALTER TABLE hired_employees ADD UNIQUE KEY of_a_dba (name, id), COMMENT = 'Hires, (all)', "
        "ADD KEY other (job_id DESC, name(20)) COMMENT 'a, b'"
    )
    try:
        before = await engine.definitions_without_ids(filled)
        await put(filled, (EMPLOYEES, records(EMPLOYEES, 60)[:30]))
        assert await engine.definitions_without_ids(filled) == before
    finally:
        await filled.fetch(
            "ALTER TABLE hired_employees DROP KEY of_a_dba, DROP KEY other, COMMENT = ''"
        )


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TRIGGER of_a_dba BEFORE INSERT ON hired_employees FOR EACH ROW SET NEW.name = 'A'",
        "ALTER TABLE hired_employees ADD CONSTRAINT of_a_dba CHECK (name <> '')",
        "CREATE TABLE of_a_dba (id INT, FOREIGN KEY (id) REFERENCES hired_employees (id))",
    ],
)
async def test_what_cannot_be_swapped_is_restored_in_one_transaction(
    filled: Database, statement: str
) -> None:
    undo = {
        "CREATE TRIGGER": "DROP TRIGGER of_a_dba",
        "ALTER TABLE": "ALTER TABLE hired_employees DROP CONSTRAINT of_a_dba",
        "CREATE TABLE": "DROP TABLE of_a_dba",
    }
    await filled.fetch(statement)
    try:
        steps = list[str]()
        (done,) = await put(filled, (EMPLOYEES, records(EMPLOYEES, 30)[:25]), steps=steps)
    finally:
        await filled.fetch(
            next(text for begin, text in undo.items() if statement.startswith(begin))
        )
    assert (done.removed, done.verified, "swap" in steps) == (5, True, False)


async def test_another_restore_drops_what_one_left(filled: Database) -> None:
    rows = records(EMPLOYEES, 60)

    def stop(step: Step) -> None:
        if step.name == "references":
            raise Stopped

    file = io.BytesIO(avro_file(EMPLOYEES, rows))
    with pytest.raises(Stopped):
        await restore(filled, [(EMPLOYEES, file)], "replace", progress=stop)
    names = {name for (name,) in await filled.fetch("SHOW TABLES")}
    (left,) = names - OURS
    assert left.startswith("restore_")
    assert len(await filled.fetch("SELECT * FROM loads")) == 6
    await put(filled, (EMPLOYEES, rows[:50]))
    assert await filled.fetch("SELECT COUNT(*) FROM hired_employees") == [(50,)]


async def test_writers_are_told_and_a_guard_that_was_left_is_removed(
    filled: Database, client: Client
) -> None:
    async with filled.transaction() as restore_at_work:
        # Else the service removes the guards.
        await restore_at_work.execute(SQL["lock_restores"])
        await add_guards(filled, ["jobs", "hired_employees"])
        refused = await client.post("/jobs", json=[{"job": "New"}])
        assert refused.status_code == 503
        assert refused.headers["retry-after"] == "10"
        assert "A restore is replacing this table" in refused.json()["detail"]
        assert (await client.patch("/jobs/1", json={"job": "Other"})).status_code == 503
        assert (await client.delete("/employees/5")).status_code == 503
        assert (await client.get("/jobs")).status_code == 200
        assert (await client.post("/departments", json={"department": "New"})).status_code == 201
    await tidy(filled)
    assert (await client.post("/jobs", json={"job": "New"})).status_code == 201


async def test_a_guard_of_a_running_restore_stays(filled: Database) -> None:
    async with filled.transaction() as other:
        await other.execute(SQL["lock_restores"])
        await add_guards(filled, ["jobs"])
        await tidy(filled)
        assert await guarded(filled) == {"jobs"}
    await tidy(filled)


async def test_a_table_that_is_being_read_is_not_changed(
    filled: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    if filled.embedded:
        pytest.skip("seekdb does not keep a table for its readers")
    monkeypatch.setattr(changes, "LOCK_SECONDS", 1)
    before = await contents(filled)
    async with filled.transaction() as reader:
        await reader.fetch("SELECT * FROM hired_employees")
        with pytest.raises(TableBusyError, match="another long transaction is reading it"):
            await put(filled, (EMPLOYEES, records(EMPLOYEES, 60)))
    assert await contents(filled) == before
    await put(filled, (EMPLOYEES, records(EMPLOYEES, 60)))


async def test_readers_see_all_old_rows_or_all_new_ones(filled: Database) -> None:
    seen = set[Any]()
    running = True

    async def read() -> None:
        while running:
            seen.add(*await filled.fetch("SELECT COUNT(*), SUM(id) FROM hired_employees"))

    readers = [asyncio.create_task(read()) for _ in range(3)]
    try:
        await put(filled, (EMPLOYEES, records(EMPLOYEES, 60)))
    finally:
        running = False
        await asyncio.gather(*readers)
    assert {(rows, int(total)) for rows, total in seen} <= {(30, 465), (60, 1830)}


async def test_a_backup_that_has_begun_ends_with_the_old_rows(filled: Database) -> None:
    async with filled.snapshot(60) as snapshot:
        await snapshot.fetch("SELECT id FROM hired_employees LIMIT 1")
        running = asyncio.create_task(put(filled, (EMPLOYEES, records(EMPLOYEES, 60))))
        await asyncio.sleep(3)
        assert not running.done()
        assert await snapshot.fetch("SELECT COUNT(*) FROM hired_employees") == [(30,)]
    await running
    assert await filled.fetch("SELECT COUNT(*) FROM hired_employees") == [(60,)]
