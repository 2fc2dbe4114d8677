"""Concurrent changes, and rows that only the server refuses, cost no valid row."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import httpx
import msgspec
import pytest

from service.core.database import retry
from service.core.database.connect import connect
from service.core.database.driver import Cursor
from service.core.database.migrations import migrate
from service.core.database.statements import Row, Transaction
from service.core.database.transactions import Database
from service.core.errors import ContentionError, UnavailableError
from service.core.rules import batch
from service.core.rules.batch import MAX_ROWS
from service.core.settings import Settings
from service.core.tables import by_path
from service.core.writes import parents as parents_of_rows
from service.core.writes.ingest import Mode, ingest
from service.core.writes.rejects import RejectOrigin
from tests.support.commit_faults import faulty_commits
from tests.support.hires import add_parents, codes, count, hire, names
from tests.support.serving import serving

Client = httpx.AsyncClient
RENAME = "UPDATE departments SET department = CONCAT(department, '!') WHERE id = %s"
REMOVE = "DELETE FROM departments WHERE id = %s"
SAVEPOINT, UNDO = "SAVEPOINT kept", "ROLLBACK TO SAVEPOINT kept"
MODES: list[Mode] = ["partial", "atomic"]


@pytest.fixture
async def parents(database: Database) -> None:
    await add_parents(database, range(1, 9))


@pytest.fixture(params=[False, True], ids=["checked by the server", "parents locked"])
def locking(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches of any size lock their parents, or none does."""
    monkeypatch.setattr(parents_of_rows, "LOCKED_ROWS", 1 if request.param else MAX_ROWS + 1)


class InterferingTransaction(Transaction):
    """Another connection deletes a department just before the first insert."""

    def __init__(self, inner: Transaction, other: Database, department: int):
        super().__init__(inner._connection, inner._deadline)
        self._other = other
        self._department = department

    async def insert_new(
        self, statement: str, rows: Sequence[Row], *, parents_locked: bool = False
    ) -> range:
        if "hired_employees" in statement:
            async with self._other.transaction() as transaction:
                await transaction.execute(REMOVE, (self._department,))
        return await super().insert_new(statement, rows, parents_locked=parents_locked)


@pytest.mark.parametrize("mode", MODES)
async def test_a_parent_deleted_between_check_and_insert_rejects_its_rows(
    database: Database, parents: None, mode: Mode
) -> None:
    blank = [7] if mode == "partial" else []
    rows = [hire(department_id=1 + at % 4, name=" " if at in blank else "x") for at in range(200)]
    validated = batch.from_json(by_path("employees"), msgspec.json.encode(rows))

    async def work(transaction: Transaction) -> Any:
        interfering = InterferingTransaction(transaction, database, 3)
        return await ingest(interfering, validated, RejectOrigin("api", "test"), mode)

    verdict = await database.run(work)
    failures = {reject.position: codes(_plain(reject.as_failure())) for reject in verdict.rejects}
    orphans = {at: {("department_id", "not_found")} for at in range(2, 200, 4)}
    assert failures == orphans | {at: {("name", "blank")} for at in blank}
    assert await count(database, "rejects") == len(failures)
    assert await count(database, "hired_employees") == (149 if mode == "partial" else 0)
    assert verdict.ids.count(None) == (51 if mode == "partial" else 200)


def _plain(failure: dict[str, Any]) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(failure))
    return plain


@pytest.mark.usefixtures("locking")
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kept", [True, False])
async def test_a_batch_waits_for_the_transaction_that_deletes_a_parent(
    api: Client, database: Database, parents: None, mode: Mode, kept: bool
) -> None:
    rows = [hire(department_id=1 + at % 2, name=f"{at}") for at in range(20)]
    async with database.transaction() as transaction:
        await transaction.execute(SAVEPOINT)
        await transaction.execute(REMOVE, (2,))
        posting = asyncio.create_task(api.post(f"/employees?mode={mode}", json=rows))
        await asyncio.sleep(0.5)
        assert not posting.done()
        if kept:
            await transaction.execute(UNDO)
    reply = await posting
    failed = [failure["index"] for failure in reply.json()["failures"]]
    assert failed == ([] if kept else list(range(1, 20, 2)))
    good = 20 if kept else 10 if mode == "partial" else 0
    written = {key: rows[at]["name"] for at, key in enumerate(reply.json()["ids"]) if key}
    assert len(written) == good
    assert await names(database) == written


@pytest.fixture
async def checked(scratch: Settings) -> AsyncIterator[tuple[Client, Database]]:
    """A client and a database with a CHECK: no Bob."""
    async with connect(scratch) as database:
        await migrate(database)
        await add_parents(database, range(1, 3))
        async with database.transaction() as transaction:
            await transaction.execute(
                "ALTER TABLE hired_employees ADD CONSTRAINT no_bob CHECK (name <> 'Bob')"
            )
        async with serving(scratch) as client:
            yield client, database


@pytest.mark.usefixtures("locking")
@pytest.mark.parametrize("limit", [Cursor.max_stmt_length, 20_000])
@pytest.mark.parametrize("mode", MODES)
async def test_a_row_that_only_the_server_refuses_rejects_only_itself(
    checked: tuple[Client, Database], monkeypatch: pytest.MonkeyPatch, mode: Mode, limit: int
) -> None:
    monkeypatch.setattr(Cursor, "max_stmt_length", limit)
    client, database = checked
    called = ["Bob" if at in {0, 41, 99} else f"{at}" for at in range(100)]
    rows = [hire(name=name, job_id=99 if at == 50 else 1) for at, name in enumerate(called)]
    reply = await client.post(f"/employees?mode={mode}", json=rows)
    body = reply.json()
    failed = {failure["index"]: failure for failure in body["failures"]}
    if mode == "partial":
        assert reply.status_code == 207
        assert sorted(failed) == [0, 41, 50, 99]
        assert all(failed[at]["record"] == rows[at] for at in failed)
        assert codes(failed[41]) == {(None, "malformed")}
        written = {key: called[at] for at, key in enumerate(body["ids"]) if key}
        assert len(written) == 96
        assert await names(database) == written
    else:
        assert reply.status_code == 422
        assert await names(database) == {}
    reply = await client.post(f"/employees?mode={mode}", json=[hire(name="Bob"), hire()])
    assert [failure["index"] for failure in reply.json()["failures"]] == [0]
    assert reply.json()["inserted"] == (1 if mode == "partial" else 0)
    logged = await database.fetch("SELECT COUNT(*) FROM rejects WHERE position <> 50")
    assert logged == [(4 if mode == "partial" else 1,)]


@pytest.mark.usefixtures("locking")
async def test_eight_writers_and_a_transaction_that_locks_their_parents_all_succeed(
    api: Client, database: Database, parents: None
) -> None:
    async def write(writer: int) -> list[int]:
        found = []
        for number in range(3):
            rows = [
                hire(department_id=1 + (writer + at) % 8, job_id=8 - (number + at) % 8)
                for at in range(50)
            ]
            found.append((await api.post("/employees", json=rows)).status_code)
        return found

    async def lock(*order: int) -> None:
        async def work(transaction: Transaction) -> None:
            for number in order:
                await transaction.execute(RENAME, (number,))
                await asyncio.sleep(0.02)

        for _ in range(3):
            await database.run(work)

    # It wants parents in another order than writers that hold some: that is what deadlocks are.
    async with asyncio.timeout(100):
        *statuses, _ = await asyncio.gather(*map(write, range(8)), lock(8, 1))
    assert statuses == [[201] * 3] * 8
    assert await count(database, "hired_employees") == 8 * 3 * 50


@pytest.mark.usefixtures("locking")
@pytest.mark.parametrize("key", [{}, {"Idempotency-Key": "again"}])
async def test_a_deadlock_at_commit_is_retried(
    migrated: Settings, database: Database, parents: None, key: dict[str, str]
) -> None:
    async with faulty_commits(migrated) as (settings, commits), serving(settings) as client:
        commits.faults = ["deadlock", "deadlock"]
        reply = await client.post("/employees", json=[hire(), hire(name="")], headers=key)
    assert (reply.status_code, commits.faults) == (207, [])
    assert "Idempotency-Replayed" not in reply.headers
    assert list(await names(database)) == reply.json()["ids"][:1]
    assert await count(database, "rejects") == 1


async def test_locks_past_the_deadline_are_unavailable(
    database: Database, parents: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "MAX_BACKOFF_SECONDS", 0.01)
    attempts = []

    async def work(transaction: Transaction) -> None:
        attempts.append(1)
        raise ContentionError

    with pytest.raises(UnavailableError):
        async with asyncio.timeout(5):
            await database.run(work, 1)
    assert len(attempts) > 20
