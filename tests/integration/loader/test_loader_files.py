"""All kinds of input files, and input that is refused."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from loader.loading.pipeline import load
from service.core.database.transactions import Database
from service.core.errors import InputError
from service.core.tables import by_name
from tests.support.csv_files import HIRES, Folder, dirty, empty, state


async def test_every_encoding_of_a_file_gives_the_same_rows(
    database: Database, folder: Folder
) -> None:
    lines = dirty(60)
    folder.write(hired_employees=lines)
    await load(database, folder.options())
    expected = [table for table in await state(database) if table][:3]
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
        result = await state(database)
        assert result[:3] == expected
        first = 1 if content.startswith(header.encode()) else 0
        assert [row[4] - first for row in result[3]] == [
            at + 1 for at in range(60) if (at + 1) % 17 in {3, 5, 7, 11}
        ]


async def test_the_table_comes_from_the_file_name_or_an_option(
    database: Database, folder: Folder
) -> None:
    (folder.path / "jobs.2021.csv").write_text("5;Baker\n")
    (folder.path / "any.txt").write_text("6;Miller\n")
    by_file_name = folder.options(files=(str(folder.path / "jobs.2021.csv"),), delimiter=";")
    by_option = folder.options(
        files=(str(folder.path / "any.txt"),), delimiter=";", table=by_name("jobs")
    )
    await load(database, by_file_name)
    await load(database, by_option)
    assert await database.fetch("SELECT id, job FROM jobs") == [(5, "Baker"), (6, "Miller")]
    with pytest.raises(InputError, match="with --table"):
        await load(database, folder.options(files=(str(folder.path / "any.txt"),)))


def replace_by_link(path: Path, target: str) -> None:
    path.unlink()
    path.symlink_to(target)


def replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def replace_by_cut_gzip(path: Path) -> None:
    path.unlink()
    path.with_suffix(".csv.gz").write_bytes(gzip.compress(b"1,x\n" * 1000)[:-9])


FAULTS: dict[str, Callable[[Path], object]] = {
    "misspelt": lambda path: path.rename(path.with_name("hired_employes.csv")),
    "upper case": lambda path: path.rename(path.with_suffix(".CSV")),
    "broken link": lambda path: replace_by_link(path, "nowhere"),
    "link loop": lambda path: replace_by_link(path, path.name),
    "folder": replace_by_folder,
    "both": lambda path: path.with_suffix(".csv.gz").write_bytes(gzip.compress(b"")),
    "cut": replace_by_cut_gzip,
    "header": lambda path: path.write_text("id,name,datetime,department_id\n"),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_bad_input_is_refused_before_anything_is_written(
    database: Database, folder: Folder, fault: str
) -> None:
    FAULTS[fault](folder.path / "hired_employees.csv")
    with pytest.raises(InputError) as refused:
        await load(database, folder.options())
    assert "\n" not in str(refused.value)
    assert "hired_employ" in str(refused.value)
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


async def test_an_empty_file_has_a_note(database: Database, folder: Folder) -> None:
    *_, summary = await load(database, folder.options())
    assert str(summary) == "hired_employees: 0 read, 0 added. The file has no rows"


async def test_assume_utc(database: Database, folder: Folder) -> None:
    folder.write(hired_employees=["1,Ana,2021-01-01T00:00:00,1,1"])
    *_, strict = await load(database, folder.options())
    *_, lenient = await load(database, folder.options(assume_utc=True))
    assert (strict.rejected, lenient.counts.added) == (1, 1)
