"""Staged restores: the tables are swapped whole, and look as if nothing had happened."""

from __future__ import annotations

import io

import fastavro
import pytest
from httpx import AsyncClient as Client

from service.core.backups.format import avro_schema
from service.core.backups.restore import restore
from service.core.backups.staged import changes, restoration
from service.core.backups.staged.definition import definition_of
from service.core.database.transactions import Database
from service.core.errors import (
    BackupError,
    OrphansError,
    RowsRefused,
    StaleParentError,
    UnavailableError,
)
from tests.support import engine
from tests.support.backup_files import DEPARTMENTS, EMPLOYEES, JOBS, avro_file, records
from tests.support.restores import contents, put

pytestmark = pytest.mark.usefixtures("small", "nothing_left")
ALL = ((DEPARTMENTS, 3), (JOBS, 5), (EMPLOYEES, 60))


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


@pytest.mark.parametrize(
    "text",
    [
        *("CREATE TABLE", "DROP INDEX", "ADD COLUMN", "ADD KEY", "ADD CONSTRAINT `restore_"),
        *("RENAME TABLE", "ADD CONSTRAINT `hired_", "DROP FOREIGN KEY"),
    ],
)
async def test_a_statement_of_a_lost_attempt_that_ends_late_does_no_harm(
    filled: Database, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    """It changes the table just before the same statement of the next attempt."""
    execute, late = changes._execute, list[str]()

    async def twice(database: Database, statement: str) -> None:
        if text in statement and not late:
            late.append(statement)
            await execute(database, statement)
        await execute(database, statement)

    monkeypatch.setattr(changes, "_execute", twice)
    monkeypatch.setattr(restoration, "PAUSE", 0.01)
    before, rows = await engine.definitions_without_ids(filled), records(EMPLOYEES, 60)[5:]
    (done,) = await put(filled, (EMPLOYEES, rows))
    assert late
    assert (done.restored, done.removed, done.verified) == (55, 5, True)
    assert await filled.fetch("SELECT COUNT(*) FROM hired_employees") == [(55,)]
    assert await engine.definitions_without_ids(filled) == before


async def test_indexes_keep_their_order_if_only_some_were_added(
    filled: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """seekdb adds the indexes of a statement one after the other, and may be killed meanwhile."""
    execute, killed = changes._execute, list[str]()

    async def partly(database: Database, statement: str) -> None:
        if "ADD KEY" in statement and not killed:
            start, *_, last = statement.split("ADD KEY")
            killed.append(f"{start}ADD KEY{last}")
            await execute(database, killed[0])
            raise UnavailableError
        await execute(database, statement)

    monkeypatch.setattr(changes, "_execute", partly)
    monkeypatch.setattr(restoration, "PAUSE", 0.01)
    before = await engine.definitions_without_ids(filled)
    await put(filled, (EMPLOYEES, records(EMPLOYEES, 60)))
    assert killed
    assert await engine.definitions_without_ids(filled) == before


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


async def test_a_definition_stays_with_its_next_id(filled: Database) -> None:
    await filled.fetch("ALTER TABLE hired_employees AUTO_INCREMENT = 1000")
    shown = await engine.definitions(filled)
    assert "AUTO_INCREMENT" in shown["hired_employees"]
    await put(filled, (EMPLOYEES, records(EMPLOYEES, 30)[:25]))
    assert await engine.definitions(filled) == shown


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
        # MariaDB and seekdb give CHECKs names of their own.
        assert ("swap" in steps) == check.startswith("`hired_employees_chk_")
        assert await engine.definitions_without_ids(filled) == shown
        await put(filled, (EMPLOYEES, records(EMPLOYEES, 30)))
    finally:
        await filled.fetch(f"ALTER TABLE hired_employees DROP CONSTRAINT {check}")
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
