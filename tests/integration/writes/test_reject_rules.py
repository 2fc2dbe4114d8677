"""One rule corrects the rejects that have the same wrong value, each exactly once."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from loader.loading.pipeline import load
from service.core.database.transactions import Database
from service.core.writes import rejects as log
from service.core.writes.corrections import rule as rules
from tests.support.console import load as load_on_console
from tests.support.csv_files import Folder, names
from tests.support.csv_files import hire as line_of
from tests.support.hires import add_parents, codes, count, hire

Client = httpx.AsyncClient
TWO = {
    "table": "employees",
    "source": "loader",
    "origin": "hired_employees.csv",
    "field": "department_id",
    "code": "type",
    "from": "two",
    "to": 2,
}


async def correct_all(client: Client, changed: Any = None, *, query: str = "", **more: Any) -> Any:
    rule = {**TWO, **(changed or {}), **more}
    reply = await client.post(f"/rejects/corrections{query}", json=rule)
    assert reply.status_code == 200, reply.text
    return reply.json()


async def loaded(database: Database, tmp_path: Path, lines: list[str]) -> None:
    folder = Folder(tmp_path)
    folder.write(hired_employees=lines)
    await load(database, folder.options())


async def open_lines(client: Client) -> list[int]:
    rows = (await client.get("/rejects?state=open")).json()["rows"]
    return [row["position"] for row in rows]


async def test_one_rule_corrects_the_same_fault(
    api: Client, database: Database, tmp_path: Path
) -> None:
    lines = [line_of(1), *(line_of(at, department="two") for at in (2, 3, 4))]
    lines += [line_of(5, department="three"), line_of(6, department="two", job=9)]
    lines += ['7,"Ana, 7",2021-01-01T00:00:00Z, two ,1', line_of(1, department="two")]
    await loaded(database, tmp_path, lines)
    preview = await correct_all(api, query="?dry_run=true")
    assert (preview["matched"], preview["corrected"], preview["failed"]) == (6, 4, 2)
    assert await open_lines(api) == [2, 3, 4, 5, 6, 7, 8]
    done = await correct_all(api)
    assert done == preview
    job, key = done["failures"]
    assert codes(job) == {("job_id", "not_found")}
    assert codes(key) == {("id", "duplicate")}
    assert await open_lines(api) == [5, 6, 8]
    assert sorted(await names(database)) == [1, 2, 3, 4, 7]
    corrected = (await api.get("/rejects?state=corrected")).json()["rows"]
    assert {(row["closed_by"], row["row_id"]) for row in corrected} == {
        ("admin", key) for key in (2, 3, 4, 7)
    }
    again = await correct_all(api)
    assert (again["matched"], again["corrected"], again["failed"]) == (2, 0, 2)


@pytest.mark.parametrize(
    "other",
    [
        {"origin": "other.csv"},
        {"code": "missing"},
        {"field": "job_id"},
        {"from": "tw"},
        {"from": 2},
        {"from": None},
        {"source": "api"},
        {"table": "jobs", "field": "job"},
        {"after": 2**62},
    ],
)
async def test_another_fault_is_left_alone(
    api: Client, database: Database, tmp_path: Path, other: dict[str, Any]
) -> None:
    await loaded(database, tmp_path, [line_of(2, department="two")])
    done = await correct_all(api, other)
    assert (done["matched"], done["next"]) == (0, None)
    assert await open_lines(api) == [1]


async def test_an_empty_field_is_filled(api: Client, database: Database, tmp_path: Path) -> None:
    await loaded(database, tmp_path, [line_of(1, department=""), line_of(2, department="two")])
    done = await correct_all(api, {"from": None}, code="missing")
    assert (done["matched"], done["corrected"]) == (1, 1)


async def test_an_id_that_is_taken_is_still_wrong(
    api: Client, database: Database, tmp_path: Path
) -> None:
    await loaded(database, tmp_path, [line_of(1), line_of(1, "Other", department="two")])
    done = await correct_all(api)
    assert codes(done["failures"][0]) == {("id", "duplicate")}
    assert await open_lines(api) == [2]


async def test_posted_rows_are_corrected_with_new_ids(api: Client, database: Database) -> None:
    await add_parents(database, range(1, 3))
    rows = [hire(department_id="two"), hire(department_id="two", name=" "), hire(department_id=9)]
    await api.post("/employees", json=rows)
    place = {"source": "api", "origin": "POST /employees"}
    done = await correct_all(api, place)
    assert (done["matched"], done["corrected"], done["failed"]) == (2, 1, 1)
    assert codes(done["failures"][0]) == {("name", "blank")}
    done = await correct_all(api, {**place, "code": "not_found", "from": 9, "to": 1})
    assert (done["matched"], done["corrected"]) == (1, 1)
    assert await count(database, "hired_employees") == 2


async def test_json_stays_strict(api: Client, database: Database) -> None:
    """A text in place of a number is wrong in posted rows, also where no rule names it."""
    await add_parents(database, range(1, 3))
    await api.post("/employees", json=[hire(department_id="two", job_id="1")])
    done = await correct_all(api, source="api", origin="POST /employees")
    assert codes(done["failures"][0]) == {("job_id", "type")}
    assert (await correct_all(api, {"from": 2}, source="api", origin="POST /employees"))[
        "matched"
    ] == 0


async def test_rows_of_a_csv_without_ids_are_corrected(client: Client, database: Database) -> None:
    await add_parents(database, range(1, 3))
    body = b"name,datetime,department_id,job_id\nAna,2021-01-01T00:00:00Z,two,1\n"
    await load_on_console(client, "hires.csv", body, "employees")
    done = await correct_all(client, source="api", origin="console: hires.csv")
    assert (done["matched"], done["corrected"]) == (1, 1), done


async def test_each_reject_is_corrected_exactly_once(
    api: Client, database: Database, tmp_path: Path
) -> None:
    await loaded(database, tmp_path, [line_of(at, department="two") for at in range(1, 41)])
    key = (await api.get("/rejects")).json()["rows"][20]["id"]
    record = {"id": 21, "name": "Eve", "datetime": "2021-01-01T00:00:00Z"}
    single = api.post(
        f"/rejects/{key}/correction", json={**record, "department_id": 1, "job_id": 1}
    )
    *done, alone = await asyncio.gather(*(correct_all(api) for _ in range(4)), single)
    corrected = sum(one["corrected"] for one in done)
    assert corrected + (alone.status_code == 201) == 40
    assert await count(database, "hired_employees") == 40
    assert await open_lines(api) == []


async def test_a_repeated_request_gets_the_first_reply(
    api: Client, database: Database, tmp_path: Path
) -> None:
    await loaded(database, tmp_path, [line_of(1, department="two")])
    headers = {"Idempotency-Key": "k"}
    first, again = [
        await api.post("/rejects/corrections", json=TWO, headers=headers) for _ in range(2)
    ]
    assert first.content == again.content
    assert again.headers["Idempotency-Replayed"] == "true"


async def test_a_call_is_bounded_and_continues(
    api: Client, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "MATCHED", 4)
    monkeypatch.setattr(rules, "FETCHED", 3)
    monkeypatch.setattr(log, "LOOKED_AT", 6)
    lines = [line_of(at, department="two" if at % 3 else "three") for at in range(1, 31)]
    await loaded(database, tmp_path, lines)
    after: int | None = 0
    corrected = []
    while after is not None:
        done = await correct_all(api, after=after)
        corrected.append(done["corrected"])
        after = done["next"]
    assert sum(corrected) == 20
    assert max(corrected) == 4
    monkeypatch.undo()  # a page of rejects has the same limit
    assert await open_lines(api) == list(range(3, 31, 3))


async def test_rejects_of_other_files_are_looked_at_too(
    api: Client, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So a call takes a limited time, wherever the rejects of its file are."""
    monkeypatch.setattr(log, "LOOKED_AT", 6)
    for _ in range(8):
        await api.post("/employees", json={"name": "Ana"})
    await loaded(database, tmp_path, [line_of(1, department="two")])
    first = await correct_all(api, after=0)
    assert (first["matched"], first["corrected"]) == (0, 0)
    second = await correct_all(api, after=first["next"])
    assert (second["matched"], second["corrected"], second["next"]) == (1, 1, None)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"[]", 400),
        (b"{}", 400),
        ({**TWO, "other": 1}, 400),
        ({**TWO, "code": "nonsense"}, 400),
        ({**TWO, "field": "nonsense"}, 400),
        ({**TWO, "source": "api", "field": "id"}, 400),
        ({**TWO, "table": "nonsense"}, 404),
        ({name: value for name, value in TWO.items() if name != "to"}, 400),
    ],
)
async def test_a_rule_that_is_wrong_is_refused(api: Client, body: Any, status: int) -> None:
    sent = {"content": body} if isinstance(body, bytes) else {"json": body}
    reply = await api.post("/rejects/corrections", **sent)
    assert reply.status_code == status, reply.text
