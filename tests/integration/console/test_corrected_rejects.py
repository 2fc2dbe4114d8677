"""Rejects of loads without ids: their file, corrected and loaded, closes each exactly once."""

from __future__ import annotations

import csv
import io
from typing import Any

import httpx

from service.core.database.transactions import Database
from tests.support.console import events, load
from tests.support.hires import add_parents, count

HIRES = b"""\
job_id,name,datetime,department_id
1,Ana,2021-01-01T00:00:00Z,1
1,"E, ve",2021-01-01T00:00:00Z,two
1,,2021-01-01T00:00:00Z,1
1,too few
"""
JOBS = b'{"job": "Clerk"}\n{"job": ""}\n{"job": 5}\n{"job"\n'


async def rejects_of(client: httpx.AsyncClient, name: str, body: bytes, table: str) -> str:
    """The rejects file of a load."""
    job = await load(client, name, body, table)
    reply = await client.get(f"/console/jobs/{job}/rejects")
    assert reply.status_code == 200, reply.text
    return reply.text


async def loaded(client: httpx.AsyncClient, name: str, text: str, table: str) -> dict[str, Any]:
    """The counts of the load of a file."""
    job = await load(client, name, text.encode(), table)
    (row,) = (await events(client, job))[-1]["rows"]
    return {name: row[name] for name in ("added", "skipped", "rejected")}


async def states(client: httpx.AsyncClient, origin: str) -> list[tuple[str, str | None]]:
    """(state, who closed it) of the rejects of a file, by line."""
    rows = (await client.get("/rejects")).json()["rows"]
    found = [row for row in rows if row["origin"] == origin]
    found.sort(key=lambda row: row["position"])
    return [(row["state"], row["closed_by"]) for row in found]


async def test_a_corrected_file_of_csv_closes_its_rejects(
    client: httpx.AsyncClient, database: Database
) -> None:
    await add_parents(database, range(1, 3))
    text = await rejects_of(client, "hires.csv", HIRES, "employees")
    header, *rows = csv.reader(io.StringIO(text))
    assert header == "line,errors,reject,job_id,name,datetime,department_id".split(",")
    assert [row[0] for row in rows] == ["3", "4", "5"]
    assert rows[0][3:] == ["1", "E, ve", "2021-01-01T00:00:00Z", "two"]
    good = text.replace(",two", ",2")
    done = await loaded(client, "corrected.csv", good, "employees")
    assert done == {"added": 1, "skipped": 0, "rejected": 2}
    assert await states(client, "console: hires.csv") == [
        ("corrected", "admin"),
        ("open", None),
        ("open", None),
    ]
    assert await states(client, "console: corrected.csv") == [("dismissed", "admin")] * 2
    better = good.replace("1,,2021", "1,Ida,2021")
    done = await loaded(client, "better.csv", better, "employees")
    assert done == {"added": 1, "skipped": 1, "rejected": 1}
    done = await loaded(client, "better.csv", better, "employees")
    assert done == {"added": 0, "skipped": 2, "rejected": 1}
    assert await count(database, "hired_employees") == 3


async def test_a_corrected_file_of_ndjson_closes_its_rejects(
    client: httpx.AsyncClient, database: Database
) -> None:
    text = await rejects_of(client, "jobs.ndjson", JOBS, "jobs")
    header, *rows = csv.reader(io.StringIO(text))
    assert header == ["line", "errors", "reject", "record"]
    assert [row[0] for row in rows] == ["2", "3", "4"]
    good = text.replace('""job"":""""', '""job"":""Cook""').replace(
        '""job"": """"', '""job"": ""Cook""'
    )
    done = await loaded(client, "jobs.rejects.csv", good, "jobs")
    assert done == {"added": 1, "skipped": 0, "rejected": 2}
    assert (await states(client, "console: jobs.ndjson"))[0] == ("corrected", "admin")
    done = await loaded(client, "jobs.rejects.csv", good, "jobs")
    assert done == {"added": 0, "skipped": 1, "rejected": 2}
    assert await count(database, "jobs") == 2
    rejected = (await client.get("/rejects?state=open")).json()["rows"]
    assert [row["position"] for row in rejected] == [3, 4]


async def test_a_file_of_another_table_closes_nothing(client: httpx.AsyncClient) -> None:
    text = await rejects_of(client, "jobs.ndjson", JOBS, "jobs")
    header, first, *_ = csv.reader(io.StringIO(text))
    file = io.StringIO()
    csv.writer(file).writerows([header, [*first[:3], '{"department": "Art"}']])
    done = await loaded(client, "some.rejects.csv", file.getvalue(), "departments")
    assert done == {"added": 1, "skipped": 0, "rejected": 0}
    assert await states(client, "console: jobs.ndjson") == [("open", None)] * 3
