"""Loads: what ends up in the tables, in the log, in the rejects file and in the summary."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from loader import records
from loader.file import File
from loader.options import Options
from loader.pipeline import load
from loader.progress import Advance, Progress
from loader.report import Summary, changed_nothing
from loader.splitter import NEVER_CLOSED
from service.core import database as databases
from service.core.database import Database
from service.core.errors import InputError, StoppedError
from service.core.settings import Settings
from service.core.tables import TABLES, by_name
from tests import engine, hires
from tests.conftest import calling
from tests.wire import Wire

HIRES = by_name("hired_employees")
SMALL = 256
"""Bytes in a block: some six hires."""


def hire(number: int, name: str = "Ana", department: object = 1, job: object = 1) -> str:
    return f"{number},{name} {number},2021-03-04T05:06:{number % 60:02}Z,{department},{job}"


class Folder:
    """A folder of files to load, and one for their rejects."""

    def __init__(self, path: Path):
        self.path = path
        self.rejects = path / "rejects"
        self.write(departments=["1,Sales", "2,Legal"], jobs=["1,Clerk", "2,Cook"])
        self.write(hired_employees=[])

    def write(self, **tables: list[str]) -> None:
        for name, lines in tables.items():
            (self.path / f"{name}.csv").write_text("".join(f"{line}\n" for line in lines))

    def options(self, **chosen: Any) -> Options:
        return Options(self.path, self.rejects, **chosen)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "BLOCK", SMALL)


async def state(database: Database) -> list[Any]:
    """All rows and all that is logged."""
    found: list[Any] = []
    for table in TABLES:
        columns = ", ".join(f"`{column}`" for column in table.columns)
        found.append(await database.fetch(f"SELECT {columns} FROM {table.name} ORDER BY id"))
    logged = await database.fetch(
        "SELECT source, origin, origin_key, table_name, position, record, errors FROM rejects "
        "ORDER BY origin_key, position"
    )
    return [*found, [(*row, msgspec.json.decode(error)) for *row, error in logged]]


async def names(database: Database) -> dict[int, str]:
    return dict(await database.fetch("SELECT id, name FROM hired_employees"))


async def lines_logged(database: Database) -> list[int]:
    return [line for (line,) in await database.fetch("SELECT position FROM rejects ORDER BY 1")]


def told(summaries: list[Summary]) -> list[Any]:
    """What a summary says of the file, apart from how the load went."""
    own = ("seconds", "notes", "rejects_file", "dry_run")
    return [
        {name: value for name, value in summary.as_object().items() if name not in own}
        for summary in summaries
    ]


def dirty(count: int) -> list[str]:
    """Hires with a bit of everything wrong in them."""
    faults: dict[int, Callable[[int], str]] = {
        3: lambda at: hire(at, department=9),
        5: lambda at: f'{at},"open,2021-01-01T00:00:00Z,1,1',
        7: lambda at: f"{at},,never,x",
        11: lambda at: hire(at - 10, name="Other"),
        13: lambda at: hire(at - 12),
    }
    return [faults.get(at % 17, hire)(at) for at in range(1, count + 1)]


class Interrupted(Exception):
    """Ends a load after some blocks, as a kill would."""


class StopAfter(Progress):
    def __init__(self, blocks: int):
        self._left = blocks

    @contextmanager
    def file(self, _file: File, summary: Summary) -> Iterator[Advance]:
        def advance(_done: int) -> None:
            if summary.table is HIRES:
                self._left -= 1
                if self._left < 0:
                    raise Interrupted

        yield advance


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
async def test_conflicts(  # noqa: PLR0917
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
    monkeypatch.setattr(records, "BLOCK", size)
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


async def test_the_rejects_file_is_corrected_and_loaded(database: Database, folder: Folder) -> None:
    folder.write(hired_employees=[hire(1), hire(2, department=9), '3,"open,x,1,1', hire(4)])
    *_, summary = await load(database, folder.options())
    file = summary.rejects_file
    assert file
    assert file.read_text().splitlines() == [
        "line,errors,id,name,datetime,department_id,job_id",
        f"2,department_id 9 is not in departments,{hire(2, department=9)}",
        f'3,"{NEVER_CLOSED}",3,"open,x,1,1',
    ]
    (uncorrected,) = await load(database, folder.options(files=(str(file),)))
    assert uncorrected.rejected == 2
    assert uncorrected.rejects_file == folder.rejects / "hired_employees.rejects.rejects.csv"
    text = file.read_text().replace('"open,x', "Open,2021-01-01T00:00:00Z").replace("Z,9,", "Z,2,")
    file.write_text(text)
    (corrected,) = await load(database, folder.options(files=(str(file),)))
    assert (corrected.counts.added, corrected.rejected) == (2, 0)
    assert sorted(await names(database)) == [1, 2, 3, 4]


async def test_bytes_that_are_no_text_come_back_in_the_rejects_file(
    database: Database, folder: Folder
) -> None:
    path = folder.path / "jobs.csv"
    path.write_bytes(b"1,Clerk\n2,Caf\xe9\n3,Caf\\xe9\n")
    _, summary, _ = await load(database, folder.options())
    assert (summary.counts.added, summary.rejected) == (2, 1)
    assert summary.rejects_file
    assert summary.rejects_file.read_bytes().endswith(b"2,is not UTF-8,2,Caf\xe9\n")
    (logged,) = await database.fetch("SELECT record FROM rejects")
    assert logged == ("2,Caf\\xe9",)


async def test_rejects_of_an_earlier_run_are_not_overwritten(
    database: Database, folder: Folder
) -> None:
    for department in (8, 9, 8):
        folder.write(hired_employees=[hire(1, department=department)])
        await load(database, folder.options())
    found = {path.name: path.read_text() for path in folder.rejects.iterdir()}
    assert sorted(found) == ["hired_employees.rejects-2.csv", "hired_employees.rejects.csv"]
    assert "department_id 8" in found["hired_employees.rejects.csv"]


async def test_what_is_loaded_later_is_no_longer_logged(database: Database, folder: Folder) -> None:
    folder.write(hired_employees=[hire(1), hire(2, department=3)])
    await load(database, folder.options())
    assert await lines_logged(database) == [2]
    folder.write(departments=["1,Sales", "2,Legal", "3,Lab"])
    *_, summary = await load(database, folder.options())
    assert (summary.counts.added, summary.counts.unchanged) == (1, 1)
    assert await lines_logged(database) == []


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("mode", ["reject", "skip", "replace"])
async def test_a_dry_run_says_what_a_load_does_and_writes_nothing(
    database: Database, folder: Folder, mode: Any
) -> None:
    folder.write(hired_employees=[hire(2, name="Before")])
    await load(database, folder.options())
    folder.write(departments=["1,Sales", "2,Law", "4,New"], hired_employees=dirty(60))
    before = await state(database)
    dry = await load(database, folder.options(on_conflict=mode, dry_run=True))
    assert await state(database) == before
    assert not folder.rejects.exists()
    assert told(dry) == told(await load(database, folder.options(on_conflict=mode)))


async def test_more_rejects_than_allowed_leave_nothing(database: Database, folder: Folder) -> None:
    folder.write(hired_employees=[hire(1), hire(2, department=9), hire(3, department=9)])
    before = await state(database)
    with pytest.raises(StoppedError, match="2 rows break a rule"):
        await load(database, folder.options(max_rejects=1))
    assert await state(database) == before
    *_, summary = await load(database, folder.options(max_rejects=2))
    assert (summary.counts.added, summary.rejected) == (1, 2)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("mode", ["reject", "replace"])
async def test_an_interrupted_load_goes_on_to_the_same_end(
    database: Database, folder: Folder, mode: Any
) -> None:
    folder.write(hired_employees=dirty(300))
    options = folder.options(on_conflict=mode)
    undisturbed = await load(database, options)
    wanted, file = await state(database), undisturbed[-1].rejects_file
    assert file
    text = file.read_text()
    for blocks in (0, 1, 4, 9):
        await empty(database)
        file.unlink()
        with pytest.raises(Interrupted):
            await load(database, options, StopAfter(blocks))
        assert not file.exists()
        resumed = await load(database, options)
        assert told(resumed) == told(undisturbed)
        assert await state(database) == wanted
        assert file.read_text() == text
        if blocks:
            assert "Went on at line" in resumed[-1].notes[0]
        assert await database.fetch("SELECT COUNT(*) FROM loads") == [(0,)]


@pytest.mark.usefixtures("small_blocks")
async def test_rows_that_vanish_before_a_load_goes_on_are_loaded_again(
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
async def test_a_file_that_changed_since_is_noticed(database: Database, folder: Folder) -> None:
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
async def test_a_file_that_changes_meanwhile_stops_the_load(
    database: Database, folder: Folder
) -> None:
    folder.write(hired_employees=[hire(number) for number in range(1, 60)])

    class Write(Progress):
        @contextmanager
        def file(self, file: File, _summary: Summary) -> Iterator[Advance]:
            def advance(_done: int) -> None:
                with file.source.path.open("a") as target:
                    target.write(f"{hire(99)}\n")

            yield advance if file.source.table is HIRES else lambda _done: None

    with pytest.raises(StoppedError, match="was changed while it was loaded"):
        await load(database, folder.options(), Write())


@pytest.mark.usefixtures("small_blocks")
async def test_two_loads_at_once_do_no_harm(
    database: Database, migrated: Settings, folder: Folder
) -> None:
    folder.write(hired_employees=dirty(200))
    await load(database, folder.options())
    wanted = await state(database)
    await empty(database)
    async with databases.connect(migrated) as other:
        both = await asyncio.gather(load(database, folder.options()), load(other, folder.options()))
    assert await state(database) == wanted
    assert [summary.read for summary in both[0]] == [summary.read for summary in both[1]]
    assert await database.fetch("SELECT COUNT(*) FROM loads") == [(0,)]


@pytest.mark.usefixtures("small_blocks")
async def test_a_load_outlives_a_connection_that_breaks(
    migrated: Settings, database: Database, wire: Wire, folder: Folder
) -> None:
    folder.write(hired_employees=dirty(120))

    class Cut(Progress):
        @contextmanager
        def file(self, _file: File, summary: Summary) -> Iterator[Advance]:
            yield lambda _done: wire.cut() if summary.read and summary.read % 5 == 0 else None

    undisturbed = await load(database, folder.options())
    wanted = await state(database)
    await empty(database)
    async with databases.connect(engine.over(wire, migrated)) as cut:
        summaries = await load(cut, folder.options(), Cut())
    assert told(summaries) == told(undisturbed)
    assert await state(database) == wanted


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
    with pytest.raises(InputError, match="say --table"):
        await load(database, folder.options(files=(str(folder.path / "any.txt"),)))


@pytest.mark.parametrize("fault", ["missing", "folder", "both", "cut", "header"])
async def test_bad_input_is_refused_before_anything_is_written(
    database: Database, folder: Folder, fault: str
) -> None:
    path = folder.path / "hired_employees.csv"
    if fault in {"missing", "folder", "cut"}:
        path.unlink()
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


async def test_an_empty_file_says_so(database: Database, folder: Folder) -> None:
    *_, summary = await load(database, folder.options())
    assert str(summary) == "hired_employees: 0 read, 0 added. The file has no rows"


async def test_assume_utc(database: Database, folder: Folder) -> None:
    folder.write(hired_employees=["1,Ana,2021-01-01T00:00:00,1,1"])
    *_, strict = await load(database, folder.options())
    *_, lenient = await load(database, folder.options(assume_utc=True))
    assert (strict.rejected, lenient.counts.added) == (1, 1)


async def empty(database: Database) -> None:
    async with database.transaction() as transaction:
        for name in ("loads", "rejects", "hired_employees", "jobs", "departments"):
            await transaction.execute(f"DELETE FROM {name}")


async def test_the_api_stays_usable(database: Database, migrated: Settings, folder: Folder) -> None:
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


async def test_parents_that_come_while_it_runs_count(database: Database, folder: Folder) -> None:
    folder.write(departments=["1,Sales", "7,New"], hired_employees=[hire(1, department=7)])
    *_, summary = await load(database, folder.options())
    assert (summary.counts.added, summary.rejected) == (1, 0)
