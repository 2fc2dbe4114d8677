"""Loads: the tables, the log, the rejects file and the summary."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from loader.loading.pipeline import load
from loader.reading import blocks
from loader.reporting.summary import changed_nothing
from service.core.database.transactions import Database
from service.core.errors import StoppedError
from service.core.settings import Settings
from tests.conftest import calling
from tests.support import hires
from tests.support.csv_files import Folder, dirty, hire, lines_logged, names, outcomes, state


async def test_parents_come_first_and_a_second_load_changes_nothing(
    database: Database, folder: Folder
) -> None:
    folder.write(hired_employees=[hire(1), hire(2, department=2), hire(3, job=3), "", hire(4)])
    first = await load(database, folder.options())
    before = await state(database)
    second = await load(database, folder.options())
    assert [summary.counts.added for summary in first] == [2, 2, 3]
    assert [summary.counts.unchanged for summary in second] == [2, 2, 3]
    assert changed_nothing(second)
    assert await state(database) == before
    assert await lines_logged(database) == [3]
    assert [path.name for path in folder.rejects.iterdir()] == ["hired_employees.rejects.csv"]


@pytest.mark.parametrize(
    ("mode", "counts", "kept", "rejected"),
    [
        ("reject", (1, 0, 1, 0), {1: "A 1", 2: "Ana 2"}, [1, 4]),
        ("skip", (1, 0, 1, 2), {1: "A 1", 2: "Ana 2"}, []),
        ("replace", (1, 2, 1, 0), {1: "Ana 1", 2: "B 2"}, []),
    ],
)
@pytest.mark.parametrize("size", [64, 4096])
async def test_conflicts(  # noqa: PLR0917 - fixtures and parameters
    database: Database,
    folder: Folder,
    monkeypatch: pytest.MonkeyPatch,
    size: int,
    mode: Any,
    counts: tuple[int, ...],
    kept: dict[int, str],
    rejected: list[int],
) -> None:
    folder.write(hired_employees=[hire(1, name="A")])
    await load(database, folder.options())
    folder.write(hired_employees=[hire(1), hire(2), hire(2), hire(2, name="B")])
    monkeypatch.setattr(blocks, "BLOCK", size)
    *_, summary = await load(database, folder.options(on_conflict=mode))
    assert msgspec.structs.astuple(summary.counts) == counts
    assert await names(database) == kept
    assert await lines_logged(database) == rejected


async def test_rows_that_were_deleted_are_loaded_again(database: Database, folder: Folder) -> None:
    folder.write(hired_employees=[hire(1), hire(2)])
    await load(database, folder.options())
    before = await state(database)
    async with database.transaction() as transaction:
        await transaction.execute("DELETE FROM hired_employees WHERE id = 1")
    *_, summary = await load(database, folder.options())
    assert (summary.counts.added, summary.counts.unchanged) == (1, 1)
    assert await state(database) == before


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("mode", ["reject", "skip", "replace"])
async def test_a_dry_run_gives_the_summary_of_a_load_and_writes_nothing(
    database: Database, folder: Folder, mode: Any
) -> None:
    folder.write(hired_employees=[hire(2, name="Before")])
    await load(database, folder.options())
    folder.write(departments=["1,Sales", "2,Law", "4,New"], hired_employees=dirty(60))
    before = await state(database)
    dry = await load(database, folder.options(on_conflict=mode, dry_run=True))
    assert await state(database) == before
    assert list(folder.rejects.iterdir()) == []
    assert outcomes(dry) == outcomes(await load(database, folder.options(on_conflict=mode)))


async def test_more_rejects_than_allowed_load_nothing(database: Database, folder: Folder) -> None:
    folder.write(hired_employees=[hire(1), hire(2, department=9), hire(3, department=9)])
    before = await state(database)
    with pytest.raises(StoppedError, match="2 rows break a rule"):
        await load(database, folder.options(max_rejects=1))
    assert await state(database) == before
    *_, summary = await load(database, folder.options(max_rejects=2))
    assert (summary.counts.added, summary.rejected) == (1, 2)


async def test_the_api_stays_usable_during_a_load(
    database: Database, migrated: Settings, folder: Folder
) -> None:
    folder.write(hired_employees=[hire(number) for number in range(1, 30_001)])
    async with calling(migrated) as client:
        loading = asyncio.create_task(load(database, folder.options()))
        answers = []
        while not loading.done():
            written = await client.post("/departments", json={"department": "New"})
            hired = await client.post("/employees?dry_run=true", json=hires.hire())
            read = await client.get("/employees?limit=10")
            answers.append((written.status_code, hired.status_code < 500, read.status_code))
        *_, summary = await loading
    assert summary.counts.added == 30_000
    assert set(answers) == {(201, True, 200)}


async def test_parents_of_the_same_run_count(database: Database, folder: Folder) -> None:
    folder.write(departments=["1,Sales", "7,New"], hired_employees=[hire(1, department=7)])
    *_, summary = await load(database, folder.options())
    assert (summary.counts.added, summary.rejected) == (1, 0)
