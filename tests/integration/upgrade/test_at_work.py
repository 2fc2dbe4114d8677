"""The previous version serves while the new one migrates: rows are read and written meanwhile."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext, suppress

import pytest

import sql
from service.core.database.connect import connect
from service.core.database.migrations import migrate
from service.core.database.transactions import Database
from service.core.errors import ContentionError
from service.core.settings import Settings
from tests.support.hires import EMPLOYEES
from tests.support.released_work import ADDED, at_work, counts, migrated_at_work
from tests.support.releases import Release

HIRES = range(1_000, 31_000)
"""So many that an index takes a while."""
EARLIER = "2019-07-27T16:02:08"
"""Not in the year of the reports."""
LONGER_THAN_A_LOCK_WAIT = 6


@pytest.fixture
async def used(old: Database) -> Database:
    """The database of a released version with many hires."""
    rows = [(number, f"Person {number}", EARLIER, 1, 1) for number in HIRES]
    async with old.transaction(60) as transaction:
        await transaction.insert(EMPLOYEES.sql["insert_with_id"], rows)
    return old


async def test_each_migration_lets_the_released_version_work(
    used: Database, scratch: Settings, release: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = await counts(used)
    work = await migrated_at_work(scratch, release, monkeypatch)
    assert await counts(used) == {
        name: before[name] + work.rounds * added for name, added in ADDED.items()
    }


async def test_a_snapshot_of_the_released_version_delays_only_the_migration(
    used: Database, scratch: Settings, release: Release
) -> None:
    """Such as that of a backup: it keeps its rows, and others continue to write.

    seekdb may refuse to read a snapshot of a table that has changed (error 4138).
    """
    released = len(sql.migrations(release.folder / "sql"))
    total = "SELECT COUNT(*) FROM hired_employees"
    async with connect(scratch) as new:
        async with used.snapshot(60) as snapshot, at_work(used, release) as work:
            before = await snapshot.fetch(total)
            migrating = asyncio.create_task(migrate(new))
            await asyncio.sleep(LONGER_THAN_A_LOCK_WAIT)
            await work.more()
            with suppress(ContentionError) if used.embedded else nullcontext():
                assert await snapshot.fetch(total) == before
        assert await migrating == [f"{at:04} {name}" for at, name, _ in sql.migrations()[released:]]
