"""Corrected rejects files: each row closes the reject that it corrects, exactly once."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from loader.loading.pipeline import load
from loader.reporting.summary import Summary
from service.core.database.transactions import Database
from service.core.writes.corrections.files import REPEATS, key_of, repeated
from tests.support.csv_files import Folder, Interrupted, StopAfter, hire, names
from tests.support.hires import add_parents

BAD = [hire(1), hire(2, department=9), "3,,2021-01-01T00:00:00Z,1,1", hire(4, department="two")]


async def rejected(database: Database, folder: Folder, lines: list[str] = BAD) -> Path:
    """The rejects file of a load of hires."""
    folder.write(hired_employees=lines)
    *_, summary = await load(database, folder.options())
    assert summary.rejects_file
    return summary.rejects_file


async def corrected(database: Database, folder: Folder, file: Path, **options: Any) -> Summary:
    """The summary of a load of a corrected file."""
    (summary,) = await load(database, folder.options(files=(str(file),), **options))
    return summary


async def states(database: Database) -> dict[tuple[str, int], tuple[Any, ...]]:
    """(state, who closed it, row) of each reject, by the name of its file and its line."""
    rows = await database.fetch(
        "SELECT origin, position, COALESCE(state, 'open'), closed_by, row_id "
        "FROM rejects LEFT JOIN reject_outcomes ON reject_id = id"
    )
    return {(origin, line): tuple(outcome) for origin, line, *outcome in rows}


def replaced(file: Path, *pairs: tuple[str, str]) -> Path:
    """A copy of a file with some texts replaced."""
    text = file.read_text()
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    copy = file.with_name("hired_employees.corrected.csv")
    copy.write_text(text)
    return copy


async def test_a_corrected_row_closes_its_reject(database: Database, folder: Folder) -> None:
    file = await rejected(database, folder)
    copy = replaced(file, ("Z,9,", "Z,2,"), (",two,", ",2,"))
    summary = await corrected(database, folder, copy)
    assert (summary.counts.added, summary.rejected) == (2, 1)
    assert await states(database) == {
        ("hired_employees.csv", 2): ("corrected", "loader", 2),
        ("hired_employees.csv", 3): ("open", None, None),
        ("hired_employees.csv", 4): ("corrected", "loader", 4),
        # Its row is still wrong, so the first reject stays open, and only that one.
        (copy.name, 3): ("dismissed", "loader", None),
    }


async def test_loading_it_twice_changes_nothing(database: Database, folder: Folder) -> None:
    copy = replaced(await rejected(database, folder), ("Z,9,", "Z,2,"))
    await corrected(database, folder, copy)
    before = await states(database)
    again = await corrected(database, folder, copy)
    assert (again.counts.added, again.counts.unchanged, again.rejected) == (0, 1, 2)
    assert await states(database) == before


async def test_the_same_file_is_corrected_step_by_step(database: Database, folder: Folder) -> None:
    file = await rejected(database, folder)
    steps = [("Z,9,", "Z,2,"), (",two,", ",2,"), ("3,,2021", "3,Eve,2021")]
    for count in range(1, 4):
        summary = await corrected(database, folder, replaced(file, *steps[:count]))
        assert (summary.counts.added, summary.counts.unchanged) == (1, count - 1)
    found = [
        state for (name, _), (state, *_) in (await states(database)).items() if "corr" not in name
    ]
    assert found == ["corrected"] * 3
    assert sorted(await names(database)) == [1, 2, 3, 4]


async def test_the_rejects_of_a_rejects_file_name_the_first_reject(
    database: Database, folder: Folder
) -> None:
    file = await rejected(database, folder)
    second = (await corrected(database, folder, file)).rejects_file
    assert second
    keys = [line.split(",")[-6] for line in file.read_text().splitlines()]
    assert [line.split(",")[-6] for line in second.read_text().splitlines()] == keys
    await corrected(database, folder, replaced(second, ("Z,9,", "Z,2,")))
    assert (await states(database))["hired_employees.csv", 2] == ("corrected", "loader", 2)


async def test_a_row_of_a_closed_reject_is_not_inserted(
    api: httpx.AsyncClient, database: Database, folder: Folder
) -> None:
    file = await rejected(database, folder)
    rejects = {one["position"]: one["id"] for one in (await api.get("/rejects")).json()["rows"]}
    record = {"name": "Bob", "datetime": "2021-01-01T00:00:00Z", "department_id": 1, "job_id": 1}
    reply = await api.post(f"/rejects/{rejects[2]}/correction", json=record)
    generated = reply.json()["id"]
    reason = {"reason": "never hired"}
    assert (await api.post(f"/rejects/{rejects[3]}/dismissal", json=reason)).status_code == 200
    pairs = (("Z,9,", "Z,2,"), ("3,,2021", "3,Eve,2021"), (",two,", ",2,"))
    copy = replaced(file, *pairs)
    preview = await corrected(database, folder, copy, dry_run=True)
    assert (preview.counts.added, preview.counts.skipped) == (1, 2)
    summary = await corrected(database, folder, copy)
    assert (summary.counts.added, summary.counts.skipped, summary.rejected) == (1, 2, 0)
    assert sorted(await names(database)) == sorted([1, 4, generated])


async def test_a_wrong_row_of_a_closed_reject_is_no_reject(
    api: httpx.AsyncClient, database: Database, folder: Folder
) -> None:
    file = await rejected(database, folder)
    for one in (await api.get("/rejects")).json()["rows"]:
        await api.post(f"/rejects/{one['id']}/dismissal", json={"reason": "old"})
    summary = await corrected(database, folder, file)
    assert (summary.counts.skipped, summary.rejected, summary.rejects_file) == (3, 0, None)


async def test_a_row_that_a_conflict_skips_closes_nothing(
    database: Database, folder: Folder
) -> None:
    file = await rejected(database, folder)
    folder.write(hired_employees=[hire(2, "Other")])
    await load(database, folder.options())
    copy = replaced(file, ("Z,9,", "Z,2,"))
    summary = await corrected(database, folder, copy, on_conflict="skip")
    assert summary.counts.skipped == 1
    assert (await states(database))["hired_employees.csv", 2] == ("open", None, None)
    await corrected(database, folder, copy, on_conflict="replace")
    assert (await states(database))["hired_employees.csv", 2] == ("corrected", "loader", 2)


@pytest.mark.parametrize(
    "keys",
    [
        lambda key: "",
        lambda key: "nonsense",
        lambda key: "0" * 16 + ":2",
        lambda key: key + "0",
        lambda key: key.upper(),
        lambda key: key.replace(":", "%:"),
        lambda key: f"{key}; DROP TABLE rejects",
    ],
)
async def test_a_key_that_names_no_reject_is_ignored(
    database: Database, folder: Folder, keys: Any
) -> None:
    file = await rejected(database, folder, [hire(2, department=9)])
    ((fingerprint,),) = await database.fetch("SELECT origin_key FROM rejects")
    key = key_of(fingerprint, 1)
    copy = replaced(file, (key, keys(key)), ("Z,9,", "Z,2,"))
    summary = await corrected(database, folder, copy)
    assert (summary.counts.added, summary.rejected) == (1, 0)
    assert (await states(database))["hired_employees.csv", 1][0] == "open"


async def test_a_key_of_another_table_closes_nothing(database: Database, folder: Folder) -> None:
    folder.write(jobs=["1,Clerk", "2,"])
    _, jobs, _ = await load(database, folder.options())
    assert jobs.rejects_file
    key = jobs.rejects_file.read_text().splitlines()[1].split(",")[2]
    file = folder.path / "hired_employees.csv"
    text = f"line,errors,reject,id,name,datetime,department_id,job_id\n1,x,{key},{hire(9)}\n"
    file.write_text(text)
    summary = await corrected(database, folder, file)
    assert summary.counts.added == 1
    assert (await states(database))["jobs.csv", 2][0] == "open"


async def test_a_key_counts_once(database: Database, folder: Folder) -> None:
    file = await rejected(database, folder, [hire(2, department=9)])
    header, line = file.read_text().splitlines()
    good = line.replace("Z,9,", "Z,2,")
    file.write_text("\n".join([header, good, good.replace(",2,Ana 2", ",3,Ana 2"), ""]))
    summary = await corrected(database, folder, file)
    assert (summary.counts.added, summary.counts.skipped) == (1, 1)
    assert await names(database) == {2: "Ana 2"}


async def test_a_file_of_an_older_version_is_loaded(database: Database, folder: Folder) -> None:
    await rejected(database, folder)
    file = folder.path / "old.csv"
    file.write_text(
        "line,errors,id,name,datetime,department_id,job_id\n"
        f"2,department_id 9 is not in departments,{hire(2)}\n"
    )
    file = file.rename(folder.path / "hired_employees.old.csv")
    summary = await corrected(database, folder, file)
    assert summary.counts.added == 1
    assert (await states(database))["hired_employees.csv", 2][0] == "open"


async def test_an_interrupted_load_closes_each_reject_once(
    database: Database, folder: Folder
) -> None:
    count = 12_000
    file = await rejected(database, folder, [hire(at, department=9) for at in range(1, count + 1)])
    good = file.read_text().replace("Z,9,", "Z,2,").splitlines()
    good[100] = good[100].replace("Z,2,", "Z,8,")
    copy = file.with_name("hired_employees.corrected.csv")
    copy.write_text("\n".join([*good, ""]))
    options = folder.options(files=(str(copy),), workers=1, user="ana")
    with pytest.raises(Interrupted):
        await load(database, options, StopAfter(1))
    (summary,) = await load(database, options)
    assert any("Continued" in note for note in summary.notes)
    assert (summary.counts.added, summary.rejected) == (count - 1, 1)
    assert summary.rejects_file
    (_, line) = summary.rejects_file.read_text().splitlines()
    assert line.endswith(good[100].partition(",")[2].partition(",")[2].partition(",")[2])
    assert good[100].split(",")[-6] in line
    found = (await states(database)).items()
    closed = [user for _, (state, user, _) in found if state == "corrected"]
    assert closed == ["ana"] * (count - 1)
    dismissed = [outcome[:2] for (name, _), outcome in found if name == copy.name]
    assert dismissed == [("dismissed", "ana")]


@pytest.mark.usefixtures("small_blocks")
async def test_several_corrections_at_once_insert_each_row_once(
    api: httpx.AsyncClient, database: Database, folder: Folder
) -> None:
    count = 40
    file = await rejected(database, folder, [hire(at, department=9) for at in range(1, count + 1)])
    copy = replaced(file, ("Z,9,", "Z,2,"))
    other = copy.with_name("hired_employees.other.csv")
    other.write_text(f"{copy.read_text()}\n")  # another file with the same rows
    rule: dict[str, Any] = {"table": "employees", "source": "loader"}
    rule["origin"] = "hired_employees.csv"
    rule |= {"field": "department_id", "code": "not_found", "from": 9, "to": 2}
    *_, reply = await asyncio.gather(
        corrected(database, folder, copy),
        corrected(database, folder, other),
        api.post("/rejects/corrections", json=rule),
    )
    assert reply.status_code == 200, reply.text
    assert await names(database) == {at: f"Ana {at}" for at in range(1, count + 1)}
    found = await states(database)
    assert {state for state, *_ in found.values()} == {"corrected"}
    assert len(found) == count


def test_a_reason_of_a_person_names_no_reject() -> None:
    key = key_of("0123456789abcdef" * 4, 15)
    assert key == "0123456789abcdef:15"
    assert repeated(f"{REPEATS}{key}") == key
    for reason in (None, "", key, REPEATS, f"{REPEATS}the one before"):
        assert repeated(reason) == ""


@pytest.mark.parametrize("delimiter", [",", ";"])
async def test_the_open_rejects_are_downloaded_corrected_and_loaded(
    api: httpx.AsyncClient, database: Database, folder: Folder, delimiter: str
) -> None:
    await add_parents(database, range(1, 3))
    header = delimiter.join(("job_id", "id", "name", "datetime", "department_id"))
    moment = "2021-01-01T00:00:00Z"
    rows = [f"1,2,Ana,{moment},two", f'1,3,"E, ve",{moment},two', f"1,4,,{moment},1", "1,5"]
    lines = [row.replace(",", delimiter).replace(f'"E{delimiter}', '"E,') for row in rows]
    folder.write(hired_employees=[header, *lines])
    await load(database, folder.options(delimiter=delimiter, files=hires_of(folder)))
    reply = await api.get("/rejects/file?table=employees")
    assert "hired_employees.rejects.csv" in reply.headers["Content-Disposition"]
    file = folder.path / "hired_employees.rejects.csv"
    file.write_text(reply.text.replace(",two,", ",2,"))
    assert '"E, ve"' in reply.text
    summary = await corrected(database, folder, file)
    assert (summary.counts.added, summary.rejected) == (2, 2)
    assert await names(database) == {2: "Ana", 3: "E, ve"}
    found = await states(database)
    assert [found["hired_employees.csv", line][0] for line in (2, 3, 4, 5)] == [
        *["corrected"] * 2,
        *["open"] * 2,
    ]
    rest = (await api.get("/rejects/file?table=employees&origin=hired_employees.csv")).text
    assert len(rest.splitlines()) == 3
    assert len((await api.get("/rejects/file?table=jobs")).text.splitlines()) == 1
    assert len((await api.get("/rejects/file?table=employees&origin=x")).text.splitlines()) == 1


def hires_of(folder: Folder) -> tuple[str]:
    return (str(folder.path / "hired_employees.csv"),)
