"""What others see and may do while a staged restore runs, and after it was stopped."""

from __future__ import annotations

import asyncio
import io
from functools import partial
from typing import Any

import pytest
from httpx import AsyncClient as Client

from service.core.backups.restore import restore
from service.core.backups.staged import changes
from service.core.backups.staged.definition import SQL as LEFTOVERS
from service.core.backups.staged.guard import add_guards, guarded, remove_guards
from service.core.backups.staged.leftovers import tidy
from service.core.backups.staged.lock import unless_held
from service.core.backups.staged.staging import Staging
from service.core.database.connect import connect
from service.core.database.migrations import migrate
from service.core.database.statements import SQL
from service.core.database.transactions import Database
from service.core.errors import ContentionError, OrphansError, TableBusyError
from service.core.progress import Step
from service.core.settings import Settings
from tests.support.backup_files import EMPLOYEES, avro_file, records
from tests.support.orphans import ORPHANS
from tests.support.restores import contents, left, put
from tests.support.waiting import until

pytestmark = pytest.mark.usefixtures("small", "nothing_left")


class Stopped(BaseException):
    """As if the program had ended here."""


async def stopped(database: Database, rows: list[dict[str, Any]]) -> None:
    """A restore that ends before it adds the foreign keys."""

    def stop(step: Step) -> None:
        if step.name == "references":
            raise Stopped

    file = io.BytesIO(avro_file(EMPLOYEES, rows))
    with pytest.raises(Stopped):
        await restore(database, [(EMPLOYEES, file)], "replace", progress=stop)


async def test_another_restore_drops_what_one_left(filled: Database) -> None:
    rows = records(EMPLOYEES, 60)
    await stopped(filled, rows)
    (name,) = await left(filled)
    assert name.startswith("restore_")
    assert len(await filled.fetch("SELECT * FROM loads")) == 6
    await put(filled, (EMPLOYEES, rows[:50]))
    assert await filled.fetch("SELECT COUNT(*) FROM hired_employees") == [(50,)]


async def test_what_a_restore_left_is_removed_after_a_day(
    filled: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The `nothing_left` fixture looks for its tables and its checkpoints."""
    await stopped(filled, records(EMPLOYEES, 60))
    staged = await left(filled)
    await tidy(filled)
    assert await left(filled) == staged != set()
    later = LEFTOVERS["leftovers"].replace("INTERVAL 1 DAY", "INTERVAL -1 DAY")
    monkeypatch.setitem(LEFTOVERS, "leftovers", later)
    await tidy(filled)
    assert await left(filled) == set()


async def test_writers_get_an_error_and_a_guard_that_was_left_is_removed(
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


async def test_the_first_restore_of_a_database_is_noticed(scratch: Settings) -> None:
    async with connect(scratch) as database:
        await migrate(database)
        async with database.transaction() as other:
            await other.execute(SQL["lock_restores"])
            assert await migrate(database) == []  # does not wait
            with pytest.raises(ContentionError):
                await unless_held(database, partial(remove_guards, database, ["jobs"]))


async def test_a_parent_that_is_being_deleted_is_waited_for(
    filled: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else its COMMIT leaves orphans."""
    async with filled.transaction() as other:
        await other.execute("INSERT INTO departments (id, department) VALUES (90, 'Other')")
    rows = [{**row, "department_id": 90} for row in records(EMPLOYEES, 60)]
    add_indexes, steps = Staging.add_indexes, list[str]()
    async with filled.transaction(60) as other:

        async def delete_meanwhile(staging: Staging) -> None:
            await other.execute("DELETE FROM departments WHERE id = 90")
            await add_indexes(staging)

        async def are_references_added() -> bool:
            return "references" in steps

        monkeypatch.setattr(Staging, "add_indexes", delete_meanwhile)
        running = asyncio.create_task(put(filled, (EMPLOYEES, rows), steps=steps))
        await until(are_references_added, 30)
        await asyncio.wait([running], timeout=2)
        assert steps[-1] == "references"
    with pytest.raises(OrphansError, match="60 rows would lose their parent"):
        await running
    assert await filled.fetch(ORPHANS) == [(0,)]


async def test_a_parent_is_waited_for_only_so_long(
    filled: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "LOCK_SECONDS", 1)
    async with filled.transaction(60) as other:
        await other.execute("UPDATE departments SET department = 'Other' WHERE id = 3")
        with pytest.raises(TableBusyError, match="The rows are as before"):
            await put(filled, (EMPLOYEES, records(EMPLOYEES, 60)))
    assert await guarded(filled) == set()
    await put(filled, (EMPLOYEES, records(EMPLOYEES, 60)))


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
