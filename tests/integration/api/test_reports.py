"""Reports, compared with the same counts in Python."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import httpx
import pytest

from loader.loading.pipeline import load
from loader.options import Options
from service.core.collation import sort_key
from service.core.database.transactions import Database
from service.core.reports import by_department, compared, total
from service.core.tables import TABLES
from tests.support import sample
from tests.unit.core.test_collation import NASTY

DATA = Path(__file__).parents[4] / "shared/data"
QUARTERLY, ABOVE = "/reports/hires-by-quarter", "/reports/departments-above-mean"
Hire = tuple[int, str, int, int]


def by_quarter(tables: dict[str, list[Any]], year: int) -> list[dict[str, Any]]:
    """The report, row by row in Python."""
    names = {key: dict(tables[key]) for key in ("departments", "jobs")}
    counts: dict[tuple[Any, ...], Counter[str]] = {}
    for _, _, moment, department, job in tables["hired_employees"]:
        if moment[:4] == f"{year:04}":
            key = (names["departments"][department], names["jobs"][job], department, job)
            counts.setdefault(key, Counter())[f"Q{(int(moment[5:7]) + 2) // 3}"] += 1
    return [
        {"department": key[0], "job": key[1]} | {f"Q{n}": counts[key][f"Q{n}"] for n in range(1, 5)}
        for key in sorted(counts, key=_place)
    ]


def _place(key: tuple[Any, ...]) -> tuple[Any, ...]:
    department, job, *ids = key
    return sort_key(department), department, sort_key(job), job, *ids


def above_mean(tables: dict[str, list[Any]], year: int) -> list[dict[str, Any]]:
    """The same for the other."""
    hired = Counter(row[3] for row in tables["hired_employees"] if row[2][:4] == f"{year:04}")
    mean = sum(hired.values()) / len(tables["departments"])
    rows = [
        {"id": key, "department": name, "hired": hired[key]}
        for key, name in tables["departments"]
        if hired[key] > mean
    ]
    return sorted(rows, key=lambda row: (-row["hired"], row["id"]))


async def stored(database: Database) -> dict[str, list[Any]]:
    return {table.name: await database.fetch(table.sql["page"], (0, 1_000_000)) for table in TABLES}


async def put(
    database: Database,
    hires: Iterable[tuple[str, int, int]],
    departments: dict[int, str] | None = None,
) -> None:
    """Hires by moment, department and job."""
    named = departments or {1: "Sales", 2: "Art", 3: "Law"}
    rows: dict[str, Any] = {
        "departments": list(named.items()),
        "jobs": [(1, "Clerk"), (2, "Baker")],
        "hired_employees": [(at, "Ana", *hire) for at, hire in enumerate(hires, 1)],
    }
    async with database.transaction() as transaction:
        for table in TABLES:
            await transaction.insert(table.sql["insert_with_id"], rows[table.name])


@pytest.fixture(params=["sample", "real"])
async def filled(
    request: pytest.FixtureRequest, database: Database, tmp_path: Path
) -> dict[str, list[Any]]:
    """What is in the tables after a load of the sample, or of the data this was made for."""
    if request.param == "real" and not DATA.exists():
        pytest.skip("the data is not here")
    folder = DATA if request.param == "real" else sample.FOLDER
    await load(database, Options(folder, tmp_path, assume_utc=True))
    return await stored(database)


@pytest.mark.parametrize("year", [2021, 2022, 1999])
async def test_reports_equal_the_counts_in_python(
    client: httpx.AsyncClient, filled: dict[str, list[Any]], year: int
) -> None:
    assert filled["hired_employees"]
    for path, count in ((QUARTERLY, by_quarter), (ABOVE, above_mean)):
        assert (await client.get(path, params={"year": year})).json() == count(filled, year)


async def test_the_year_is_the_latest_with_hires(
    client: httpx.AsyncClient, filled: dict[str, list[Any]]
) -> None:
    year = max(int(row[2][:4]) for row in filled["hired_employees"])
    for path in (QUARTERLY, ABOVE):
        latest = await client.get(path)
        assert latest.json() == (await client.get(path, params={"year": year})).json() != []


async def test_a_department_has_the_rows_of_its_own(
    client: httpx.AsyncClient, filled: dict[str, list[Any]]
) -> None:
    names = dict(filled["departments"])
    for department, name in names.items():
        query = {"year": 2021, "department_id": department}
        rows = (await client.get(QUARTERLY, params=query)).json()
        assert rows == [row for row in by_quarter(filled, 2021) if row["department"] == name]
        above = (await client.get(ABOVE, params=query)).json()
        assert above == [row for row in above_mean(filled, 2021) if row["id"] == department]


@pytest.mark.parametrize("year", [2021, 2022])
async def test_a_comparison_has_the_counts_of_both_years(
    database: Database, filled: dict[str, list[Any]], year: int
) -> None:
    rows = await compared(database, year)
    for counted, at in (("hired", year), ("before", year - 1)):
        quarters = [(row.department, row.job, *getattr(row, counted)) for row in rows]
        assert [row for row in quarters if any(row[2:])] == [
            tuple(row.values()) for row in by_quarter(filled, at)
        ]
    departments = by_department(rows)
    assert [row.department_id for row in departments] == list(
        dict.fromkeys(row.department_id for row in rows)
    )
    whole = total(departments)
    assert whole == total(rows)
    assert whole.change == sum(whole.hired) - sum(whole.before)


async def test_csv_has_the_same_rows_in_the_same_order(
    client: httpx.AsyncClient, filled: dict[str, list[Any]]
) -> None:
    for path in (QUARTERLY, ABOVE):
        reply = await client.get(path, headers={"Accept": "text/csv"})
        assert reply.headers["Content-Type"].startswith("text/csv")
        assert reply.headers["Vary"] == "Accept"
        rows = [
            {name: str(value) for name, value in row.items()}
            for row in (await client.get(path)).json()
        ]
        assert list(csv.DictReader(io.StringIO(reply.text, newline=""))) == rows


@pytest.mark.parametrize("accept", ["*/*", "application/json", "text/html", "text/*;q=0.1, */*"])
async def test_json_is_the_default(client: httpx.AsyncClient, accept: str) -> None:
    reply = await client.get(ABOVE, headers={"Accept": accept})
    assert reply.headers["Content-Type"] in ("application/json", "text/csv; charset=utf-8")
    assert accept.startswith("text/*") or reply.json() == []


async def test_quarters_end_at_midnight_in_utc(
    client: httpx.AsyncClient, database: Database
) -> None:
    edges = {
        "2020-12-31 23:59:59.999999": None,
        "2021-01-01 00:00:00": "Q1",
        "2021-03-31 23:59:59.999999": "Q1",
        "2021-04-01 00:00:00": "Q2",
        "2021-07-01 00:00:00": "Q3",
        "2021-12-31 23:59:59.999999": "Q4",
        "2022-01-01 00:00:00": None,
    }
    await put(database, [(edge, 1, 1) for edge in edges])
    (row,) = (await client.get(QUARTERLY, params={"year": 2021})).json()
    assert row == {"department": "Sales", "job": "Clerk", "Q1": 2, "Q2": 1, "Q3": 1, "Q4": 1}


async def test_an_offset_decides_the_quarter(client: httpx.AsyncClient, database: Database) -> None:
    await put(database, [])
    hire = {"name": "Ana", "datetime": "2021-04-01T01:00:00+02:00", "department_id": 1, "job_id": 1}
    await client.post("/employees", json=hire)
    assert (await client.get(QUARTERLY)).json()[0]["Q1"] == 1


async def test_rows_are_alphabetical_by_department_and_job(
    client: httpx.AsyncClient, database: Database
) -> None:
    pairs = [(1, 1), (1, 2), (2, 1), (3, 2)]
    await put(database, [("2021-05-05", *pair) for pair in pairs])
    rows = (await client.get(QUARTERLY)).json()
    assert [(row["department"], row["job"]) for row in rows] == [
        ("Art", "Clerk"),
        ("Law", "Baker"),
        ("Sales", "Baker"),
        ("Sales", "Clerk"),
    ]


@pytest.mark.parametrize("backwards", [False, True])
async def test_the_alphabet_is_the_same_everywhere(
    client: httpx.AsyncClient, database: Database, backwards: bool
) -> None:
    names = dict(enumerate(NASTY[::-1] if backwards else NASTY, 1))
    # Of every quarter one, so that no order is that of the first quarter's.
    await put(database, [(f"2021-{1 + at % 12:02}-05", at, 1) for at in names], names)
    rows = (await client.get(QUARTERLY)).json()
    assert [row["department"] for row in rows] == NASTY
    text = (await client.get(QUARTERLY, headers={"Accept": "text/csv"})).text
    table = csv.DictReader(io.StringIO(text, newline=""))
    assert [row["department"] for row in table] == NASTY
    page = (await client.get("/console/reports", headers={"Accept": "text/html"})).text
    places = [page.index(f"<td>{name}</td>") for name in NASTY if name.strip()]
    assert places == sorted(places)
    chart = ElementTree.fromstring((await client.get(f"{QUARTERLY}.svg")).content)
    drawn = [(node.text or "").strip() for node in chart.iter("{http://www.w3.org/2000/svg}text")]
    longer = [name for name in NASTY if len(name) > 1]  # the values of the bars are shorter
    assert [name for name in drawn if name in longer] == longer


async def test_names_that_differ_only_in_case_are_sorted_by_code_point_then_by_id(
    client: httpx.AsyncClient, database: Database
) -> None:
    names = {1: "art", 2: "Art", 3: "ART", 4: "Árt", 5: "Art"}
    await put(database, [("2021-05-05", at, job) for at in names for job in (1, 2)], names)
    rows = [(row["department"], row["job"]) for row in (await client.get(QUARTERLY)).json()]
    assert [name for name, _ in rows] == ["ART"] * 2 + ["Art"] * 4 + ["art"] * 2 + ["Árt"] * 2
    assert rows[2:6] == [("Art", "Baker")] * 2 + [("Art", "Clerk")] * 2


async def test_departments_of_one_name_stay_two(
    client: httpx.AsyncClient, database: Database
) -> None:
    await put(database, [("2021-05-05", 2, 1), ("2021-05-05", 1, 1)], {1: "Art", 2: "Art"})
    assert [row["Q2"] for row in (await client.get(QUARTERLY)).json()] == [1, 1]


async def test_departments_without_hires_count_in_the_mean(
    client: httpx.AsyncClient, database: Database
) -> None:
    # 3 and 3 over two departments are none above the mean; over three they are.
    await put(database, [("2021-05-05", department, 1) for department in (1, 1, 1, 2, 2, 2)])
    assert (await client.get(ABOVE)).json() == [
        {"id": 1, "department": "Sales", "hired": 3},
        {"id": 2, "department": "Art", "hired": 3},
    ]


async def test_a_department_at_the_mean_is_not_above_it(
    client: httpx.AsyncClient, database: Database
) -> None:
    await put(database, [("2021-05-05", department, 1) for department in (1, 1, 2, 2, 3, 3)])
    assert (await client.get(ABOVE)).json() == []


@pytest.mark.parametrize("path", [QUARTERLY, ABOVE])
@pytest.mark.parametrize("end", ["", ".svg"])
async def test_without_data_reports_are_empty(
    client: httpx.AsyncClient, path: str, end: str
) -> None:
    reply = await client.get(path + end)
    assert reply.status_code == 200
    assert "No hires" in reply.text if end else reply.json() == []


@pytest.mark.parametrize("year", ["0", "999", "10000", "-2021", "2021.5", "next", "", "9" * 30])
@pytest.mark.parametrize("path", [QUARTERLY, ABOVE, f"{QUARTERLY}.svg", f"{ABOVE}.svg"])
async def test_an_invalid_year_is_a_problem(
    client: httpx.AsyncClient, path: str, year: str
) -> None:
    reply = await client.get(path, params={"year": year})
    assert reply.status_code == 400
    assert reply.headers["Content-Type"] == "application/problem+json"
    assert "year" in json.dumps(reply.json())


@pytest.mark.parametrize("year", [1000, 9999])
async def test_the_first_and_the_last_year_can_be_asked_for(
    client: httpx.AsyncClient, database: Database, year: int
) -> None:
    await put(database, [("1000-01-01", 1, 1), ("9999-12-31 23:59:59.999999", 1, 1)])
    assert len((await client.get(QUARTERLY, params={"year": year})).json()) == 1
