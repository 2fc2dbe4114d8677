"""Rejects: the log, and the file to correct and load."""

from __future__ import annotations

import pytest

from loader.loading.pipeline import load
from loader.reading.splitter import NEVER_CLOSED
from service.core.database.connect import connect
from service.core.database.migrations import migrate
from service.core.database.transactions import Database
from service.core.settings import Settings
from tests.support.csv_files import Folder, hire, lines_logged, names


async def key_of_the_file(database: Database) -> str:
    """The beginning of the fingerprint of the only file with rejects."""
    ((key,),) = await database.fetch("SELECT DISTINCT LEFT(origin_key, 16) FROM rejects")
    return str(key)


async def test_the_rejects_file_is_corrected_and_loaded(database: Database, folder: Folder) -> None:
    folder.write(hired_employees=[hire(1), hire(2, department=9), '3,"open,x,1,1', hire(4)])
    *_, summary = await load(database, folder.options())
    file = summary.rejects_file
    assert file
    key = await key_of_the_file(database)
    assert file.read_text().splitlines() == [
        "line,errors,reject,id,name,datetime,department_id,job_id",
        f"2,department_id 9 is not in departments,{key}:2,{hire(2, department=9)}",
        f'3,"{NEVER_CLOSED}",{key}:3,3,"open,x,1,1',
    ]
    (uncorrected,) = await load(database, folder.options(files=(str(file),)))
    assert uncorrected.rejected == 2
    assert uncorrected.rejects_file == folder.rejects / "hired_employees.rejects.rejects.csv"
    text = file.read_text().replace('"open,x', "Open,2021-01-01T00:00:00Z").replace("Z,9,", "Z,2,")
    file.write_text(text)
    (corrected,) = await load(database, folder.options(files=(str(file),)))
    assert (corrected.counts.added, corrected.rejected) == (2, 0)
    assert sorted(await names(database)) == [1, 2, 3, 4]


async def test_the_rejects_file_keeps_bytes_that_are_not_utf8(
    database: Database, folder: Folder
) -> None:
    path = folder.path / "jobs.csv"
    path.write_bytes(b"1,Clerk\n2,Caf\xe9\n3,Caf\\xe9\n4,\\xe9 \\\xe9 \\\\\n")
    _, summary, _ = await load(database, folder.options())
    assert (summary.counts.added, summary.rejected) == (2, 2)
    assert summary.rejects_file
    key = (await key_of_the_file(database)).encode()
    assert summary.rejects_file.read_bytes().splitlines()[1:] == [
        b"2,is not UTF-8,%s:2,2,Caf\xe9" % key,
        b"4,is not UTF-8,%s:4,4,\\xe9 \\\xe9 \\\\" % key,
    ]
    logged, _ = await database.fetch("SELECT record FROM rejects ORDER BY position")
    assert logged == ("2,Caf\\xe9",)


async def test_rejects_of_an_earlier_run_are_not_overwritten(
    database: Database, folder: Folder
) -> None:
    for department in (8, 9, 8):
        folder.write(hired_employees=[hire(1, department=department)])
        await load(database, folder.options())
    files = {path.name: path.read_text() for path in folder.rejects.iterdir()}
    assert sorted(files) == ["hired_employees.rejects-2.csv", "hired_employees.rejects.csv"]
    assert "department_id 8" in files["hired_employees.rejects.csv"]


async def test_a_block_with_tens_of_thousands_of_rejects(
    database: Database, folder: Folder
) -> None:
    folder.write(jobs=["x"] * 40_000)
    (summary,) = await load(database, folder.options(files=(str(folder.path / "jobs.csv"),)))
    assert summary.rejected == 40_000
    assert await database.fetch("SELECT COUNT(*) FROM rejects") == [(40_000,)]


async def test_a_reject_that_is_loaded_later_leaves_the_log(
    database: Database, folder: Folder
) -> None:
    folder.write(hired_employees=[hire(1), hire(2, department=3)])
    await load(database, folder.options())
    assert await lines_logged(database) == [2]
    folder.write(departments=["1,Sales", "2,Legal", "3,Lab"])
    *_, summary = await load(database, folder.options())
    assert (summary.counts.added, summary.counts.unchanged) == (1, 1)
    assert await lines_logged(database) == []


@pytest.mark.parametrize("on_conflict", ["reject", "replace"])
async def test_a_row_that_only_the_server_refuses_does_not_stop_the_others(
    scratch: Settings, folder: Folder, on_conflict: str
) -> None:
    async with connect(scratch) as database:
        await migrate(database)
        folder.write(hired_employees=[hire(2), hire(4)])
        await load(database, folder.options())
        async with database.transaction() as transaction:
            await transaction.execute(
                "ALTER TABLE hired_employees ADD CONSTRAINT no_bob CHECK (name NOT LIKE 'Bob%')"
            )
        given_names = ["Ana", "Bob", "Bob", "Cleo", "Dan", "Bob"]
        folder.write(hired_employees=[hire(at, name) for at, name in enumerate(given_names, 1)])
        *_, summary = await load(database, folder.options(on_conflict=on_conflict))
        replaced = on_conflict == "replace"
        assert (summary.counts.added, summary.counts.changed) == (2, 1 if replaced else 0)
        assert [reject.position for reject in summary.first] == (
            [2, 3, 6] if replaced else [2, 3, 4, 6]
        )
        assert summary.codes["malformed"] == (3 if replaced else 2)
        stored = await names(database)
        assert sorted(stored) == [1, 2, 4, 5]
        assert stored[2] == "Ana 2"
