"""Interrupted loads, and loads at the same time."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from typing import Any

import pytest
from msgspec.structs import astuple

from loader.loading.pipeline import load
from loader.reading.blocks import SMALL_BLOCK
from loader.reading.file import CsvFile
from loader.reading.source import open_sources
from loader.reporting.summary import Summary
from service.core.database.connect import connect
from service.core.database.transactions import Database
from service.core.errors import StoppedError
from service.core.settings import Settings
from tests.support import engine
from tests.support.csv_files import (
    HIRES,
    Folder,
    Interrupted,
    StopAfter,
    dirty,
    empty,
    hire,
    names,
    outcomes,
    state,
)
from tests.support.tcp_proxy import Proxy


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("mode", ["reject", "replace"])
@pytest.mark.parametrize(
    ("parallel", "stops"),
    [({}, (0, 1, 4, 9)), ({"workers": 3, "processes": 2}, (12,))],
    ids=["one process", "several"],
)
async def test_an_interrupted_load_continues_to_the_same_result(
    database: Database, folder: Folder, mode: Any, parallel: dict[str, Any], stops: tuple[int, ...]
) -> None:
    folder.write(hired_employees=dirty(400))
    options = folder.options(on_conflict=mode)
    undisturbed = await load(database, options)
    expected, file = await state(database), undisturbed[-1].rejects_file
    assert file
    text = file.read_text()
    options = replace(options, **parallel)
    for blocks in stops:
        await empty(database)
        file.unlink()
        with pytest.raises(Interrupted):
            await load(database, options, StopAfter(blocks))
        assert not file.exists()
        resumed = await load(database, options)
        assert outcomes(resumed) == outcomes(undisturbed)
        assert await state(database) == expected
        assert resumed[-1].rejects_file == file
        assert file.read_text() == text
        if blocks:
            assert "Continued at line" in resumed[-1].notes[0]
        assert await database.fetch("SELECT COUNT(*) FROM loads") == [(0,)]


@pytest.mark.usefixtures("small_blocks")
async def test_rows_that_are_deleted_before_a_load_continues_are_loaded_again(
    database: Database, folder: Folder
) -> None:
    folder.write(hired_employees=[hire(number) for number in range(1, 60)])
    with pytest.raises(Interrupted):
        await load(database, folder.options(), StopAfter(4))
    async with database.transaction() as transaction:
        await transaction.execute("DELETE FROM hired_employees WHERE id IN (1, 9)")
    await load(database, folder.options())
    assert sorted(await names(database)) == list(range(1, 60))


@pytest.mark.usefixtures("small_blocks")
async def test_a_file_that_changed_after_an_interrupted_load_has_a_note(
    database: Database, folder: Folder
) -> None:
    folder.write(hired_employees=[hire(number) for number in range(1, 60)])
    with pytest.raises(Interrupted):
        await load(database, folder.options(), StopAfter(4))
    folder.write(hired_employees=[hire(number) for number in range(1, 70)])
    *_, summary = await load(database, folder.options())
    assert summary.notes[0].startswith("The file has changed since a load of it stopped at line")
    assert summary.read == 69
    assert len(await names(database)) == 69
    assert await database.fetch("SELECT COUNT(*) FROM loads") == [(0,)]


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("mode", ["a", "w"])
@pytest.mark.parametrize("dry_run", [False, True])
async def test_a_file_that_changes_during_its_load_stops_the_load(
    database: Database, folder: Folder, mode: str, dry_run: bool
) -> None:
    # More than the file object reads ahead.
    folder.write(hired_employees=[hire(number) for number in range(1, 5000)])

    def write(file: CsvFile, _summary: Summary, _done: int) -> None:
        if file.source.table is HIRES:
            with file.source.path.open(mode) as target:
                target.write(f"{hire(99)}\n" if mode == "a" else "")

    with pytest.raises(StoppedError, match="was changed during its load"):
        await load(database, folder.options(dry_run=dry_run), write)


@pytest.mark.usefixtures("small_blocks")
async def test_a_file_that_is_cut_at_the_end_of_a_block_stops_the_load(
    database: Database, folder: Folder
) -> None:
    folder.write(hired_employees=[hire(number) for number in range(1, 60)])
    options = folder.options()
    with open_sources(folder.path) as sources:
        file = CsvFile.detect(sources[-1], options)
    read = file.blocks(file.start)
    end = next(read).end.byte
    os.truncate(file.source.path, end)
    with pytest.raises(StoppedError, match="was changed during its load"):
        list(read)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("mode", ["reject", "replace"])
async def test_rejects_that_are_deleted_before_a_load_continues_are_logged_again(
    database: Database, folder: Folder, mode: Any
) -> None:
    folder.write(hired_employees=dirty(100))
    options = folder.options(on_conflict=mode)
    (*_, undisturbed), expected = await load(database, options), await state(database)
    await empty(database)
    with pytest.raises(Interrupted):
        await load(database, options, StopAfter(6))
    async with database.transaction() as transaction:
        await transaction.execute("DELETE FROM rejects ORDER BY position LIMIT 1")
    *_, summary = await load(database, options)
    assert await state(database) == expected
    assert summary.read == summary.rejected + sum(astuple(summary.counts))
    if mode == "reject":
        assert summary.rejected == undisturbed.rejected


@pytest.mark.usefixtures("small_blocks")
async def test_two_loads_of_one_file_at_the_same_time(
    database: Database, migrated: Settings, folder: Folder
) -> None:
    folder.write(hired_employees=dirty(200))
    await load(database, folder.options())
    expected = await state(database)
    await empty(database)
    async with connect(migrated) as other:
        both = await asyncio.gather(load(database, folder.options()), load(other, folder.options()))
    assert await state(database) == expected
    assert [summary.read for summary in both[0]] == [summary.read for summary in both[1]]
    assert await database.fetch("SELECT COUNT(*) FROM loads") == [(0,)]


@pytest.mark.usefixtures("small_blocks")
async def test_a_load_survives_broken_connections(
    migrated: Settings, database: Database, proxy: Proxy, folder: Folder
) -> None:
    folder.write(hired_employees=dirty(120))

    def cut_sometimes(_file: CsvFile, summary: Summary, _done: int) -> None:
        if summary.read % 5 == 0:
            proxy.cut()

    undisturbed = await load(database, folder.options())
    expected = await state(database)
    await empty(database)
    async with connect(engine.through(proxy, migrated)) as cut:
        summaries = await load(cut, folder.options(), cut_sometimes)
    assert outcomes(summaries) == outcomes(undisturbed)
    assert await state(database) == expected


async def test_seekdb_gets_small_blocks(database: Database, folder: Folder) -> None:
    folder.write(hired_employees=[hire(number) for number in range(1, 20_001)])
    with pytest.raises(Interrupted):
        await load(database, folder.options(), StopAfter(1))
    sizes = [size for (size,) in await database.fetch("SELECT next_byte - first_byte FROM loads")]
    assert (max(sizes) <= SMALL_BLOCK) is database.embedded
