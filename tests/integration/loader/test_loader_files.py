"""Files of every make, and those that are none."""

from __future__ import annotations

import gzip
import os

import msgspec
import pytest

from loader.loading.pipeline import load
from service.core.database.transactions import Database
from service.core.errors import InputError
from service.core.tables import by_name
from tests.support.csv_files import HIRES, Folder, dirty, empty, state


async def test_every_version_of_a_file_gives_the_same(database: Database, folder: Folder) -> None:
    lines = dirty(60)
    folder.write(hired_employees=lines)
    await load(database, folder.options())
    wanted = [table for table in await state(database) if table][:3]
    text = "".join(f"{line}\n" for line in lines)
    header = ",".join(HIRES.columns) + "\n"
    for content in (
        text.replace("\n", "\r\n").encode(),
        text.replace("\n", "\r").encode(),
        text.encode("utf-8-sig"),
        text[:-1].encode(),
        (header + text).encode(),
        gzip.compress(text.encode()),
    ):
        await empty(database)
        packed = content[:2] == b"\x1f\x8b"
        (folder.path / "hired_employees.csv").unlink(missing_ok=True)
        path = folder.path / f"hired_employees.csv{'.gz' if packed else ''}"
        path.write_bytes(content)
        await load(database, folder.options())
        found = await state(database)
        assert found[:3] == wanted
        first = 1 if content.startswith(header.encode()) else 0
        assert [row[4] - first for row in found[3]] == [
            at + 1 for at in range(60) if (at + 1) % 17 in {3, 5, 7, 11}
        ]


async def test_a_table_is_named_by_its_file_or_said(database: Database, folder: Folder) -> None:
    (folder.path / "jobs.2021.csv").write_text("5;Baker\n")
    (folder.path / "any.txt").write_text("6;Miller\n")
    named = folder.options(files=(str(folder.path / "jobs.2021.csv"),), delimiter=";")
    said = folder.options(
        files=(str(folder.path / "any.txt"),), delimiter=";", table=by_name("jobs")
    )
    await load(database, named)
    await load(database, said)
    assert await database.fetch("SELECT id, job FROM jobs") == [(5, "Baker"), (6, "Miller")]
    with pytest.raises(InputError, match="with --table"):
        await load(database, folder.options(files=(str(folder.path / "any.txt"),)))


@pytest.mark.parametrize(
    "fault",
    ["misspelt", "upper case", "broken link", "link loop", "folder", "both", "cut", "header"],
)
async def test_bad_input_is_refused_before_anything_is_written(
    database: Database, folder: Folder, fault: str
) -> None:
    path = folder.path / "hired_employees.csv"
    if fault == "misspelt":
        path.rename(folder.path / "hired_employes.csv")
    if fault == "upper case":
        path.rename(folder.path / "hired_employees.CSV")
    if fault in {"folder", "cut", "broken link", "link loop"}:
        path.unlink()
    if fault == "broken link":
        path.symlink_to("nowhere")
    if fault == "link loop":
        path.symlink_to(path)
    if fault == "folder":
        path.mkdir()
    if fault == "both":
        (folder.path / "hired_employees.csv.gz").write_bytes(gzip.compress(b""))
    if fault == "cut":
        path.with_suffix(".csv.gz").write_bytes(gzip.compress(b"1,x\n" * 1000)[:-9])
    if fault == "header":
        path.write_text("id,name,datetime,department_id\n")
    with pytest.raises(InputError) as refused:
        await load(database, folder.options())
    assert "\n" not in str(refused.value)
    assert "hired_employees" in str(refused.value)
    assert await database.fetch("SELECT COUNT(*) FROM departments") == [(0,)]


async def test_a_path_that_is_not_utf8(database: Database, folder: Folder) -> None:
    path = folder.path / os.fsdecode(b"jobs.\xff.csv")
    path.write_text("5,Baker\n6,\n")
    (summary,) = await load(database, folder.options(files=(str(path),)))
    assert (summary.counts.added, summary.rejected) == (1, 1)
    assert "jobs.\\xff.rejects.csv" in str(summary)
    assert msgspec.json.encode(summary.as_object())
    assert await database.fetch("SELECT origin FROM rejects") == [("jobs.\\xff.csv",)]


async def test_a_file_that_is_named_twice_is_counted_as_loaded_twice(
    database: Database, folder: Folder
) -> None:
    path = str(folder.path / "jobs.csv")
    first, second = await load(database, folder.options(files=(path, path)))
    assert (first.counts.added, first.counts.unchanged) == (2, 0)
    assert (second.counts.added, second.counts.unchanged) == (0, 2)
    assert await database.fetch("SELECT COUNT(*) FROM loads") == [(0,)]


async def test_an_empty_file_says_so(database: Database, folder: Folder) -> None:
    *_, summary = await load(database, folder.options())
    assert str(summary) == "hired_employees: 0 read, 0 added. The file has no rows"


async def test_assume_utc(database: Database, folder: Folder) -> None:
    folder.write(hired_employees=["1,Ana,2021-01-01T00:00:00,1,1"])
    *_, strict = await load(database, folder.options())
    *_, lenient = await load(database, folder.options(assume_utc=True))
    assert (strict.rejected, lenient.counts.added) == (1, 1)
