"""Staged restores that are killed with -9: the tables are old or new, and the next one goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from httpx import AsyncClient as Client

from service.core.backups.restore import restore
from service.core.backups.restored import Restored
from service.core.backups.sources import opened
from service.core.backups.staged.guard import guarded
from service.core.backups.staged.leftovers import tidy
from service.core.database.transactions import Database
from service.core.settings import Settings
from tests.conftest import empty
from tests.support import engine, program
from tests.support.backup_files import DEPARTMENTS, EMPLOYEES, JOBS
from tests.support.restores import archive, contents, fill, left, make_small
from tests.support.sizes import sized
from tests.support.waiting import until

POINTS = sized(short=8, full=60)
KILLED = -9
UNGUARDED_SECONDS = 20
ROWS = ((DEPARTMENTS, 4), (JOBS, 6), (EMPLOYEES, 80))

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    make_small(monkeypatch.setattr)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "all.zip"
    path.write_bytes(archive(*ROWS))
    return path


async def killed(settings: Settings, path: Path, event: int) -> program.Ended:
    """A restore in a process that kills itself at an event."""
    variables = engine.environment(settings)
    return await program.run("tests.support.killed_restore", str(path), str(event), **variables)


async def restored(database: Database, path: Path) -> list[Restored]:
    """The same restore, to its end."""
    with path.open("rb") as file:
        async with opened(file) as sources:
            return await restore(database, sources, "replace")


async def is_unguarded(database: Database) -> bool:
    """Whether the guards are removed. The server may not know yet that the restore is dead."""
    await tidy(database)
    return not await guarded(database)


async def test_a_restore_that_is_killed_anywhere_is_continued(
    migrated: Settings, database: Database, client: Client, path: Path
) -> None:
    await fill(database)
    await tidy(database)
    assert await left(database) == set()
    shown = await engine.definitions_without_ids(database)
    finished = await killed(migrated, path, 0)
    assert finished.code == 0, finished.err
    events, new = int(finished.out), await contents(database)
    for event in sorted({1 + at * (events - 1) // (POINTS - 1) for at in range(POINTS)}):
        await empty(database)
        await fill(database)
        old = await contents(database)
        ended = await killed(migrated, path, event)
        # seekdb sometimes has fewer events than in the run that was counted.
        too_few = database.embedded and ended.code == 0 and int(ended.out) < event == events
        assert ended.code == KILLED or too_few, (event, ended.out, ended.err)
        await until(lambda: is_unguarded(database), UNGUARDED_SECONDS)
        between = await contents(database)
        assert between in (old, new), event
        assert (await client.post("/jobs", json={"job": "New"})).status_code == 201
        done = await restored(database, path)
        assert [one.verified for one in done] == [True] * 3
        assert await contents(database) == new
        assert await engine.definitions_without_ids(database) == shown
        assert await left(database) == set()
        assert await database.fetch("SELECT * FROM loads") == []


async def test_it_continues_where_it_stopped(
    migrated: Settings, database: Database, path: Path
) -> None:
    await fill(database)
    statement = "SELECT load_key, first_byte, saved_at FROM loads"
    chunks: list[Any] = []
    for event in range(25, 45):
        ended = await killed(migrated, path, event)
        assert ended.code == KILLED
        earlier, chunks = chunks, await database.fetch(statement)
        assert set(earlier) <= set(chunks)
        if len(chunks) == 10:
            break
    assert len(chunks) == 10
    done = await restored(database, path)
    assert [one.verified for one in done] == [True] * 3
    assert await left(database) == set()
