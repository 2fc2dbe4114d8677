"""Large batches lock their parents, and rows whose parents are locked are never orphans."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import msgspec
import pytest

from loader.loading.pipeline import load
from service.core.database.connect import connect
from service.core.database.migrations import migrate
from service.core.database.statements import Transaction
from service.core.database.transactions import Database
from service.core.errors import ContentionError, StaleParentError
from service.core.rules import batch
from service.core.rules.batch import MAX_ROWS, Batch
from service.core.settings import Settings
from service.core.tables import by_path
from service.core.writes import parents
from service.core.writes.ingest import ingest
from service.core.writes.parents import LOCKED_ROWS, check_parents
from service.core.writes.rejects import RejectOrigin
from tests.support.csv_files import Folder
from tests.support.hires import add_parents, count, hire
from tests.support.orphans import ORPHANS, REMOVE, delete_parents

EMPLOYEES = by_path("employees")
ORPHAN = (1, "Ana", "2021-07-27T16:02:08", 99, 99)
SECONDS = 4


def hires(rows: int = LOCKED_ROWS, departments: int = 8) -> Batch:
    made = [hire(name=f"{at}", department_id=1 + at % departments) for at in range(rows)]
    return batch.from_json(EMPLOYEES, msgspec.json.encode(made))


async def is_locked(database: Database, rows: int = LOCKED_ROWS) -> bool:
    """Whether a batch of this size locks its parents, instead of the server's check."""

    async def check(transaction: Transaction) -> bool:
        checked = hires(rows)
        await check_parents(transaction, checked)
        assert checked.rejects == []
        return checked.parents_locked

    return await database.run(check)


@pytest.fixture
async def filled(database: Database) -> Database:
    await add_parents(database, range(1, 9))
    return database


@pytest.fixture
async def own(scratch: Settings) -> AsyncIterator[Database]:
    """A database of its own, whose tables a test can change."""
    async with connect(scratch) as database:
        await migrate(database)
        await add_parents(database, range(1, 9))
        yield database


@pytest.fixture
def mysql(migrated: Settings) -> None:
    if migrated.embedded:
        pytest.skip("the embedded database checks every row")


async def test_only_a_large_batch_on_a_server_with_such_locks_needs_no_check(
    filled: Database, migrated: Settings
) -> None:
    assert await is_locked(filled) is not migrated.embedded
    assert not await is_locked(filled, LOCKED_ROWS - 1)


@pytest.mark.usefixtures("mysql")
@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE hired_employees ADD FOREIGN KEY (job_id) REFERENCES jobs (id)",
        "ALTER TABLE hired_employees DROP FOREIGN KEY hired_employees_job",
        "CREATE TRIGGER noticed AFTER INSERT ON hired_employees FOR EACH ROW SET @noticed = 1",
    ],
)
async def test_other_constraints_are_left_to_the_server(own: Database, change: str) -> None:
    assert await is_locked(own)
    async with own.session(30) as session:
        await session.execute(change)
    assert not await is_locked(own)


@pytest.mark.usefixtures("mysql")
async def test_a_table_cannot_get_a_constraint_before_its_rows_are_committed(
    own: Database,
) -> None:
    async with own.transaction() as transaction:
        await check_parents(transaction, hires())
        async with own.session(30) as session:
            await session.execute("SET lock_wait_timeout = 1")
            with pytest.raises(ContentionError):
                await session.execute("ALTER TABLE hired_employees ADD KEY another (name)")


@pytest.mark.usefixtures("mysql")
async def test_a_login_that_cannot_see_triggers_leaves_the_check_to_the_server(
    own: Database, scratch: Settings
) -> None:
    name, rights = scratch.mysql_database.replace("_", r"\_"), "SELECT, INSERT, UPDATE, DELETE"
    async with own.session(30) as session:
        await session.execute("CREATE USER IF NOT EXISTS blind IDENTIFIED BY 'blind'")
        try:
            await session.execute(f"GRANT {rights} ON `{name}`.* TO blind")
            blind = msgspec.structs.replace(scratch, mysql_user="blind", mysql_password="blind")
            async with connect(blind) as limited:
                assert not await is_locked(limited)
            await session.execute(f"GRANT TRIGGER ON `{name}`.* TO blind")
            async with connect(blind) as limited:
                assert await is_locked(limited)
        finally:
            await session.execute("DROP USER blind")


@pytest.mark.usefixtures("mysql")
@pytest.mark.parametrize("end", ["commit", "error", "cancelled"])
async def test_the_next_statement_is_checked_again(single: Database, end: str) -> None:
    await add_parents(single, range(1, 2))
    statement = EMPLOYEES.sql["insert_with_id"]
    with suppress(RuntimeError, asyncio.CancelledError):
        async with single.transaction() as transaction:
            await transaction.insert(statement, [ORPHAN], parents_locked=True)
            await transaction.execute("DELETE FROM hired_employees")
            with pytest.raises(StaleParentError):
                await transaction.insert(statement, [ORPHAN])
            if end == "error":
                raise RuntimeError
            if end == "cancelled":
                raise asyncio.CancelledError
    with pytest.raises(StaleParentError):
        async with single.transaction() as transaction:
            await transaction.insert(statement, [ORPHAN])


class Interrupted(Transaction):
    """Another connection tries to delete a department just before the rows are written."""

    def __init__(self, inner: Transaction, other: Database):
        super().__init__(inner._connection, inner._deadline)
        self._other = other
        self.refused = False

    async def insert_new(self, *arguments: Any, **options: Any) -> range:
        try:
            async with self._other.transaction() as transaction:
                await transaction.execute("SET innodb_lock_wait_timeout = 1")
                await transaction.execute(REMOVE, (3,))
        except ContentionError:
            self.refused = True
        return await super().insert_new(*arguments, **options)


@pytest.mark.usefixtures("mysql")
async def test_a_locked_parent_cannot_be_deleted(own: Database) -> None:
    async def work(transaction: Transaction) -> tuple[int, bool]:
        interrupted = Interrupted(transaction, own)
        verdict = await ingest(interrupted, hires(), RejectOrigin("api", "test"))
        return verdict.inserted, interrupted.refused

    assert await own.run(work) == (LOCKED_ROWS, True)
    assert await own.fetch(ORPHANS) == [(0,)]


async def test_an_orphan_would_be_found(filled: Database) -> None:
    async with filled.session(10) as session:
        await session.execute("SET foreign_key_checks = 0")
        await session.insert(EMPLOYEES.sql["insert_with_id"], [ORPHAN])
        await session.execute("SET foreign_key_checks = 1")
    assert await filled.fetch(ORPHANS) == [(1,)]


@pytest.mark.parametrize("rows", [20, MAX_ROWS])
async def test_batches_while_parents_are_deleted_leave_no_orphans(
    filled: Database, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    monkeypatch.setattr(parents, "LOCKED_ROWS", 1)
    outcomes: Counter[str] = Counter()

    async def write() -> int:
        written = 0
        while not stop.is_set():
            validated = hires(rows)
            verdict = await filled.run(
                lambda transaction, given=validated: ingest(  # type: ignore[misc]
                    transaction, given, RejectOrigin("api", "test")
                )
            )
            outcomes["complete" if verdict.inserted == rows else "with rejects"] += 1
            written += verdict.inserted
        return written

    stop = asyncio.Event()
    deleting = asyncio.create_task(delete_parents(filled, stop, outcomes))
    asyncio.get_running_loop().call_later(SECONDS, stop.set)
    written = await asyncio.gather(*(write() for _ in range(3)))
    await deleting
    assert await filled.fetch(ORPHANS) == [(0,)]
    assert await count(filled, "hired_employees") == sum(written) - outcomes["hires"]
    assert outcomes["complete"]
    assert outcomes["deleted"]


async def test_a_load_while_parents_are_deleted_leaves_no_orphans(
    filled: Database, folder: Folder, small_blocks: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parents, "LOCKED_ROWS", 1)
    lines = [f"{at},Ana,2021-07-27T16:02:08Z,{1 + at % 8},1\n" for at in range(1, 1001)]
    file = folder.path / "hired_employees.csv"
    file.write_text("".join(lines))
    outcomes: Counter[str] = Counter()
    stop = asyncio.Event()
    deleting = asyncio.create_task(delete_parents(filled, stop, outcomes))
    (summary,) = await load(filled, folder.options(files=(str(file),)))
    stop.set()
    await deleting
    stored = await count(filled, "hired_employees")
    assert await filled.fetch(ORPHANS) == [(0,)]
    assert stored + outcomes["hires"] + summary.rejected == 1000
    assert outcomes["deleted"]
    assert await count(filled, "rejects") == summary.rejected
