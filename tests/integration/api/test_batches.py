"""POST /{table}: a result for each row, one transaction, failures logged."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from httpx import AsyncClient

from service.core.database.transactions import Database
from tests.support.hires import hire


async def test_good_rows_are_inserted_and_ids_come_back_by_position(client: AsyncClient) -> None:
    rows = [{"department": "Sales"}, {"department": "  "}, {"department": "Legal"}]
    reply = await client.post("/departments", json=rows)
    body = reply.json()
    assert reply.status_code == 207
    assert (body["received"], body["inserted"], body["failed"]) == (3, 2, 1)
    assert body["ids"][1] is None
    stored = (await client.get("/departments")).json()["rows"]
    assert stored == [
        {"id": body["ids"][0], "department": "Sales"},
        {"id": body["ids"][2], "department": "Legal"},
    ]


async def test_a_failure_carries_the_record_and_every_reason(client: AsyncClient) -> None:
    row = {"name": " ", "datetime": "2021-02-30T00:00:00Z", "job_id": True, "extra": 1}
    reply = await client.post("/employees", json=[row])
    (failure,) = reply.json()["failures"]
    assert reply.status_code == 422
    assert failure["index"] == 0
    assert failure["record"] == row
    assert {(error["field"], error["code"]) for error in failure["errors"]} == {
        ("name", "blank"),
        ("datetime", "format"),
        ("department_id", "missing"),
        ("job_id", "type"),
        ("extra", "unknown_field"),
    }


async def test_rejects_are_logged(client: AsyncClient) -> None:
    await client.post("/departments", json=[{"department": ""}])
    (reject,) = (await client.get("/rejects")).json()["rows"]
    assert (reject["source"], reject["table"], reject["position"]) == ("api", "departments", 0)
    assert reject["record"] == '{"department":""}'
    assert reject["errors"][0]["code"] == "blank"


@pytest.mark.parametrize("count", [0, 1001])
async def test_a_batch_of_the_wrong_size_writes_nothing(
    client: AsyncClient, database: Database, count: int
) -> None:
    rows: list[dict[str, Any]] = [{"job": "Clerk"}] * count
    reply = await client.post("/jobs", json=rows)
    assert reply.status_code == 422
    assert str(count) in reply.json()["detail"]
    assert await database.fetch("SELECT COUNT(*) FROM jobs") == [(0,)]
    assert await database.fetch("SELECT COUNT(*) FROM rejects") == [(0,)]


@pytest.mark.parametrize(
    ("rows", "status"),
    [
        ([{"job": "Clerk"}], 201),
        ({"job": "Clerk"}, 201),
        ([{"job": "Clerk"}, {"job": ""}], 207),
        ([{"job": ""}], 422),
        ({"job": ""}, 422),
    ],
)
async def test_the_status_says_all_some_or_none(
    client: AsyncClient, rows: object, status: int
) -> None:
    assert (await client.post("/jobs", json=rows)).status_code == status


async def test_a_thousand_rows_get_a_thousand_ids_in_their_order(client: AsyncClient) -> None:
    rows = [{"job": f"Clerk {number}"} for number in range(1000)]
    ids = (await client.post("/jobs", json=rows)).json()["ids"]
    stored = (await client.get("/jobs?limit=1000")).json()["rows"]
    assert [row["id"] for row in stored] == ids
    assert [row["job"] for row in stored] == [row["job"] for row in rows]


async def test_concurrent_batches_get_the_ids_of_their_own_rows(client: AsyncClient) -> None:
    names = [[f"{batch} {row}" for row in range(50)] for batch in range(8)]
    replies = await asyncio.gather(
        *(client.post("/jobs", json=[{"job": name} for name in batch]) for batch in names)
    )
    stored = {
        row["id"]: row["job"] for row in (await client.get("/jobs?limit=1000")).json()["rows"]
    }
    assert [[stored[key] for key in reply.json()["ids"]] for reply in replies] == names


async def test_a_hire_without_its_parents_is_not_found(
    client: AsyncClient, database: Database
) -> None:
    (job,) = (await client.post("/jobs", json={"job": "Clerk"})).json()["ids"]
    (department,) = (await client.post("/departments", json={"department": "A"})).json()["ids"]
    good = hire(department_id=department, job_id=job)
    rows = [good | {"department_id": department + 1}, good, good | {"job_id": job + 1}]
    reply = await client.post("/employees", json=rows)
    assert reply.status_code == 207
    assert [
        (failure["index"], error["field"], error["code"])
        for failure in reply.json()["failures"]
        for error in failure["errors"]
    ] == [(0, "department_id", "not_found"), (2, "job_id", "not_found")]
    assert await database.fetch("SELECT COUNT(*) FROM hired_employees") == [(1,)]


async def test_a_row_of_another_table_is_refused(client: AsyncClient) -> None:
    reply = await client.post("/departments", json=[{"job": "Clerk"}])
    (failure,) = reply.json()["failures"]
    assert {(error["field"], error["code"]) for error in failure["errors"]} == {
        ("job", "unknown_field"),
        ("department", "missing"),
    }
