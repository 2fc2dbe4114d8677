"""Migrations: each is applied once, by one of many processes, also after a crash."""

from __future__ import annotations

import asyncio
import time
from functools import partial

import pytest

import sql
from service.core.database import migrations, retry
from service.core.database.connect import connect
from service.core.database.migrations import migrate
from service.core.database.statements import SQL
from service.core.database.transactions import Database
from service.core.errors import UnavailableError
from service.core.settings import Settings
from tests.support import engine, program
from tests.support.commit_faults import Fault, faulty_commits
from tests.support.tcp_proxy import Proxy
from tests.support.waiting import until

ALL = [f"{version:04} {name}" for version, name, _ in sql.migrations()]
STATEMENTS = [
    (version, done)
    for version, _, statements in sql.migrations()
    for done in range(1, len(statements) + 1)
]

REFUSED = "SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = {}"


async def apply(settings: Settings) -> list[str]:
    async with connect(settings) as database:
        return await migrate(database)


async def recorded(settings: Settings) -> list[str]:
    async with connect(settings) as database:
        rows = await database.fetch(
            "SELECT version, name FROM schema_migrations WHERE version > 0 ORDER BY version"
        )
    return [f"{version:04} {name}" for version, name in rows]


async def shape(settings: Settings) -> list[tuple[object, ...]]:
    """Every column and every index of the database."""
    columns = (
        "SELECT table_name, column_name, column_type, is_nullable FROM information_schema.columns "
        "WHERE table_schema = DATABASE() ORDER BY table_name, ordinal_position"
    )
    indexes = (
        "SELECT table_name, index_name, seq_in_index, column_name, non_unique "
        "FROM information_schema.statistics WHERE table_schema = DATABASE() ORDER BY 1, 2, 3"
    )
    async with connect(settings) as database:
        return [*await database.fetch(columns), *await database.fetch(indexes)]


async def test_every_migration_is_applied_once_and_recorded(scratch: Settings) -> None:
    assert await apply(scratch) == ALL
    assert await recorded(scratch) == ALL
    assert await apply(scratch) == []
    assert await recorded(scratch) == ALL


async def test_of_concurrent_processes_one_applies_each_migration(scratch: Settings) -> None:
    command = ("service", "migrate")
    one, other = await asyncio.gather(
        *(program.run(*command, **engine.environment(scratch)) for _ in range(2))
    )
    assert (one.code, other.code) == (0, 0), one.err + other.err
    for name in ALL:
        assert (one.out + other.out).count(name) == 1
    assert await recorded(scratch) == ALL


async def test_of_concurrent_pools_one_applies_each_migration(scratch: Settings) -> None:
    done = await asyncio.gather(*(apply(scratch) for _ in range(4)))
    assert sorted(name for names in done for name in names) == ALL
    assert await recorded(scratch) == ALL


@pytest.mark.parametrize(("version", "done"), STATEMENTS)
async def test_after_a_crash_at_any_statement_the_next_start_finishes(
    scratch: Settings, migrated_shape: list[tuple[object, ...]], version: int, done: int
) -> None:
    async with connect(scratch) as database:
        await _apply_before_the_crash(database, version, done)
    names = [f"{number:04} {name}" for number, name, _ in sql.migrations() if number >= version]
    assert await apply(scratch) == names
    assert await recorded(scratch) == ALL
    assert await shape(scratch) == migrated_shape


@pytest.fixture
async def migrated_shape(migrated: Settings) -> list[tuple[object, ...]]:
    return await shape(migrated)


async def _apply_before_the_crash(database: Database, version: int, done: int) -> None:
    """Apply and record the migrations before `version`; run `done` statements of it, unrecorded."""
    async with database.transaction() as transaction:
        await transaction.execute(SQL["create_migrations"])
        for number, name, statements in sql.migrations()[:version]:
            for statement in statements[: done if number == version else None]:
                await transaction.execute(statement)
            if number < version:
                await transaction.execute(SQL["record_migration"], (number, name))


@pytest.mark.parametrize("fault", ["committed", "lost"])
@pytest.mark.parametrize("at", range(len(ALL) + 1))
async def test_a_migration_continues_after_an_unconfirmed_commit(
    scratch: Settings, at: int, fault: Fault
) -> None:
    """COMMIT 0 is that of the lock row; each other one records a migration."""
    async with faulty_commits(scratch) as (settings, commits), connect(settings) as database:
        commits.faults = [*[None] * at, fault]
        await migrate(database)
        assert commits.faults == []
        assert await migrate(database) == []
    async with connect(scratch) as database:
        applied = await database.fetch(SQL["applied_migrations"])
    assert len(applied) == len(ALL)


async def test_a_migration_waits_for_the_one_that_is_running(scratch: Settings) -> None:
    await apply(scratch)
    async with connect(scratch) as database:
        async with database.transaction() as other:
            await other.fetch(SQL["lock_migrations"])
            second = asyncio.create_task(apply(scratch))
            await asyncio.sleep(0.5)
            assert not second.done()
        assert await second == []


async def test_a_migration_gives_up_at_its_deadline(
    scratch: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    await apply(scratch)
    monkeypatch.setattr(migrations, "WAIT_SECONDS", 1)
    async with connect(scratch) as database, database.transaction() as other:
        await other.fetch(SQL["lock_migrations"])
        began = time.monotonic()
        with pytest.raises(UnavailableError):
            await apply(scratch)
        assert 0.9 < time.monotonic() - began < 4
    assert await apply(scratch) == []


async def test_a_migration_repeats_a_refused_lock_until_its_deadline(
    scratch: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    await apply(scratch)
    monkeypatch.setattr(retry, "MAX_BACKOFF_SECONDS", 0.01)
    monkeypatch.setitem(SQL, "lock_migrations", REFUSED.format(1205))
    async with connect(scratch) as database:
        second = asyncio.create_task(migrate(database))
        await until(partial(_has_tried, database, 50), 30)
        assert not second.done()
        monkeypatch.undo()
        assert await second == []


async def _has_tried(database: Database, times: int) -> bool:
    return database.retries >= times


async def test_without_pending_migrations_nothing_is_created(
    proxy: Proxy, migrated: Settings
) -> None:
    assert await apply(engine.through(proxy, migrated)) == []
    assert b"INSERT INTO schema_migrations" in proxy.sent
    assert b"CREATE" not in proxy.sent
