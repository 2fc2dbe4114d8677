"""Cancellation or a deadline at any await: it is reported as such, and nothing leaks."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import aclosing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from service.core.backups import backup
from service.core.backups.backup_store import PARTIAL, BackupStore
from service.core.backups.restore import restore
from service.core.database import driver, retry
from service.core.database.connect import connect
from service.core.database.servers import failover
from service.core.database.statements import Transaction
from service.core.database.transactions import Database
from service.core.errors import ContentionError, DuplicateError
from service.core.settings import Settings
from service.core.writes.idempotency import Key, Keys, Reply
from tests.support import engine, stepping
from tests.support.backup_files import DEPARTMENTS, avro_file, records
from tests.support.commit_faults import Commits
from tests.support.departments import ADD
from tests.support.stepping import every_await
from tests.support.waiting import until_idle

COUNT = "SELECT COUNT(*) FROM departments"
ROWS = 3
DEADLINE = 0.6
LATE = ("in time", "for too long", "CommitUnknownError")
"""Parts of the errors after a deadline: in a statement, between attempts, in COMMIT."""
Work = Callable[[Database], Awaitable[Any]]


async def opening(database: Database) -> None:
    pool = database.pool
    connection = await failover._open(pool.servers._servers[0], pool._conn_kwargs)
    connection.close()


async def fetch(database: Database) -> None:
    await database.fetch(COUNT)


async def transaction(database: Database) -> None:
    async with database.transaction(repeatable=True) as transaction:
        await add(transaction)


async def failing(database: Database) -> None:
    """Cancels the rollback after an error as well."""
    try:
        async with database.transaction() as transaction:
            await add(transaction)
            raise ZeroDivisionError
    except ZeroDivisionError:
        pass


async def snapshot(database: Database) -> None:
    async with database.snapshot(database._timeout) as snapshot:
        for _ in range(2):
            await snapshot.fetch(COUNT)


async def run(database: Database) -> None:
    attempts: list[int] = []

    async def work(transaction: Transaction) -> None:
        await add(transaction)
        attempts.append(1)
        if len(attempts) == 1:
            raise ContentionError

    await database.run(work)


async def once(database: Database) -> None:
    async def work(transaction: Transaction) -> Reply:
        await add(transaction)
        return Reply(201, b"{}")

    keys = Keys(database, 1)
    try:
        await keys.once(Key("user", "POST /x", "key", "print"), work)
    finally:
        assert not keys._running


async def stream(database: Database) -> None:
    async with aclosing(backup.stream_table(database, DEPARTMENTS, "deflate")) as chunks:
        async for _ in chunks:
            await asyncio.sleep(0)


async def stream_all(database: Database) -> None:
    async with aclosing(backup.stream_all(database, "deflate")) as chunks:
        async for _ in chunks:
            await asyncio.sleep(0)


async def save(database: Database) -> None:
    with tempfile.TemporaryDirectory() as folder:
        try:
            await BackupStore(Path(folder)).save(database, DEPARTMENTS, "deflate")
        finally:
            assert not partial(Path(folder))


def partial(folder: Path) -> list[Path]:
    return list(folder.glob(f"{PARTIAL}*"))


async def restored(database: Database) -> None:
    with tempfile.TemporaryFile() as file:
        file.write(avro_file(DEPARTMENTS, records(DEPARTMENTS, ROWS), page=1))
        file.flush()
        await restore(database, [(DEPARTMENTS, file)], "replace")


async def add(transaction: Transaction) -> None:
    await transaction.insert(ADD, [(at, "Sales") for at in range(1, ROWS)])
    await transaction.execute(ADD, (ROWS, "Legal"))


QUICK = [fetch, transaction, failing, snapshot, run, once]
ALL = [opening, *QUICK, stream, stream_all, save, restored]


async def empty(database: Database) -> None:
    async with database.transaction() as transaction:
        for table in ("departments", "idempotency_keys"):
            await transaction.execute(f"DELETE FROM {table}")


async def check_intact(pool_of_one: Database, database: Database) -> None:
    """No connection is lost, the next one works, and all rows are written or none."""
    await asyncio.sleep(0)
    pool = pool_of_one.pool
    assert (pool.waiting, len(pool._used)) == (0, 0)
    await until_idle(pool)
    assert pool.size <= 1
    assert pool_of_one.snapshot_age() == 0
    async with asyncio.timeout(10):
        assert await pool_of_one.fetch("SELECT 42") == [(42,)]
        # Transactions that are not committed hold no locks.
        await empty_if_complete(database)
        # The next task has to connect as well.
        pool.close_free()


async def empty_if_complete(database: Database) -> None:
    ((count,),) = await database.fetch(COUNT)
    assert count in (0, ROWS)
    await empty(database)


@pytest.mark.parametrize("interrupt", [stepping.cancel, stepping.cancel_late])
@pytest.mark.parametrize("work", ALL)
async def test_a_cancelled_task_ends_as_cancelled(
    single: Database, database: Database, work: Work, interrupt: stepping.Interrupt
) -> None:
    ends: list[str] = []
    async for task in every_await(lambda: _coroutine(work, single), interrupt):
        ends.append(_end(task))
        await check_intact(single, database)
    wrong = [f"{at}: {end}" for at, end in enumerate(ends, 1) if end != "CancelledError"]
    if interrupt is stepping.cancel_late:
        # A task that is cancelled in its last await may end normally.
        wrong = [end for end in wrong if end != f"{len(ends)}: done"]
    assert not wrong
    assert len(ends) > 1


def _end(task: asyncio.Task[Any]) -> str:
    if task.cancelled():
        return "CancelledError"
    error = task.exception()
    return f"{type(error).__name__}: {error}" if error else "done"


def _coroutine(work: Work, database: Database) -> Coroutine[Any, Any, Any]:
    async def run() -> None:
        await work(database)

    return run()


@pytest.mark.parametrize("work", QUICK)
async def test_a_missed_deadline_is_reported_as_such(
    migrated: Settings, database: Database, monkeypatch: pytest.MonkeyPatch, work: Work
) -> None:
    monkeypatch.setattr(driver, "ROLLBACK_SECONDS", 0.2)
    monkeypatch.setattr(retry, "MAX_BACKOFF_SECONDS", 0)
    settings = msgspec.structs.replace(migrated, mysql_pool_size=1)
    async with connect(settings) as single:
        single._timeout = DEADLINE
        wrong: list[str] = []
        async for task in every_await(lambda: _coroutine(work, single), stepping.hang):
            end = _end(task)
            wrong += [] if end == "done" or any(text in end for text in LATE) else [end]
            single._timeout = 30
            await check_intact(single, database)
            single._timeout = DEADLINE
    assert not wrong


@pytest.fixture
async def hanging(
    migrated: Settings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Database, Commits]]:
    """A database whose server never answers the next ROLLBACK; what happens to its COMMITs."""
    monkeypatch.setattr(driver, "ROLLBACK_SECONDS", 0.3)
    commits = Commits()
    async with engine.proxy(migrated) as proxy:
        proxy._reach = commits.reach(proxy._reach)
        async with connect(engine.through(proxy, migrated)) as away:
            proxy.stall_at(b"ROLLBACK", heard=False)
            began = time.monotonic()
            yield away, commits
            assert proxy.stalled
            assert time.monotonic() - began < 3
            assert away.pool.size == away.pool.freesize == 0
            proxy.flow()
            assert await away.fetch(COUNT) == [(0,)]


async def test_an_error_is_reported_if_the_server_hangs_in_the_rollback(
    hanging: tuple[Database, Commits],
) -> None:
    async def work(transaction: Transaction) -> None:
        for _ in range(2):
            await transaction.execute(ADD, (1, "Sales"))

    with pytest.raises(DuplicateError):
        await hanging[0].run(work)


async def test_a_deadlock_at_commit_is_reported_if_the_server_hangs_in_the_rollback(
    hanging: tuple[Database, Commits],
) -> None:
    database, commits = hanging
    commits.faults = ["deadlock"]
    with pytest.raises(ContentionError):
        async with database.transaction() as transaction:
            await add(transaction)


async def test_a_snapshot_succeeds_if_the_server_hangs_in_its_rollback(
    hanging: tuple[Database, Commits],
) -> None:
    async with hanging[0].snapshot(30) as snapshot:
        assert await snapshot.fetch(COUNT) == [(0,)]


async def test_a_cancelled_rollback_closes_its_connection(
    hanging: tuple[Database, Commits],
) -> None:
    task = asyncio.ensure_future(_fails(hanging[0]))
    await asyncio.sleep(0.2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def _fails(database: Database) -> None:
    async with database.transaction():
        raise ZeroDivisionError
