"""POST /{table}: verdicts a row, one transaction, failures logged."""

from __future__ import annotations

from typing import Any

import pytest
from httpx import AsyncClient

from service.core.database import Database


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


async def test_what_is_not_inserted_is_logged(client: AsyncClient) -> None:
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
