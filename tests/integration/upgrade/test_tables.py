"""An upgraded database has the tables of a new one, and its rows; both versions can use it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

import sql
from loader.loading.pipeline import load
from loader.options import Options
from service.core.database.connect import connect
from service.core.database.migrations import migrate
from service.core.database.transactions import Database
from service.core.settings import Settings
from tests.conftest import calling
from tests.support import engine
from tests.support.releases import INTERRUPTED, REPEATED, REPEATED_KEY, Release, rows_of

EVERY = [f"{version:04} {name}" for version, name, _ in sql.migrations()]


@pytest.fixture
async def new(settings: Settings) -> AsyncIterator[Database]:
    """A database that only today's migrations made."""
    name = f"{settings.mysql_database}_new"
    own = msgspec.structs.replace(settings, mysql_database=name)
    await engine.create_database(own)
    async with connect(own) as database:
        await migrate(database)
        yield database
    await engine.drop_database(own)


async def test_an_upgraded_database_equals_a_new_one(
    old: Database, new: Database, release: Release
) -> None:
    before = await rows_of(old)
    applied = len(sql.migrations(release.folder / "sql"))
    assert await migrate(old) == EVERY[applied:]
    assert await engine.definitions_without_ids(old) == await engine.definitions_without_ids(new)
    after = await rows_of(old)
    assert {name: after[name] for name in before} == before
    assert all(before.values())
    assert not any(after[name] for name in after.keys() - before.keys())


async def test_the_released_version_can_use_the_upgraded_tables(
    new: Database, release: Release
) -> None:
    """Each of its statements is valid, and its rows can be inserted."""
    async with new.session(30) as session:
        for statement in release.table_statements.values():
            text = statement.replace("%s", "?").replace("%%", "%").replace("'", "''")
            await session.execute(f"PREPARE released FROM '{text}'")
        await session.execute("DELETE FROM schema_migrations")
    await release.insert(new)
    found = await rows_of(new)
    assert all(found[name] for name in release.tables - {"schema_migrations"})


async def test_a_repeated_request_gets_the_reply_of_the_released_version(
    old: Database, scratch: Settings
) -> None:
    await migrate(old)
    async with old.transaction() as transaction:
        await transaction.execute("UPDATE idempotency_keys SET expires_at = '9999-01-01'")
    before = await rows_of(old)
    async with calling(scratch) as client:
        reply = await client.post(
            "/employees", json=REPEATED, headers={"Idempotency-Key": REPEATED_KEY}
        )
    assert (reply.status_code, reply.json()["inserted"]) == (207, 1)
    assert reply.headers["Idempotency-Replayed"] == "true"
    assert await rows_of(old) == before


async def test_a_load_that_the_released_version_left_is_finished(
    old: Database, tmp_path: Path
) -> None:
    await migrate(old)
    (tmp_path / "jobs.csv").write_text(INTERRUPTED, encoding="utf-8")
    summaries = await load(old, Options(tmp_path, tmp_path / "rejects"))
    (jobs,) = [summary for summary in summaries if summary.file]
    assert (jobs.read, jobs.counts.added, jobs.counts.unchanged) == (2, 2, 0)
    assert await old.fetch("SELECT id FROM jobs WHERE id > 500") == [(501,), (502,)]
    assert await old.fetch("SELECT * FROM loads") == []
