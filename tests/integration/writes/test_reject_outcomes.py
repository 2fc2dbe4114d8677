"""Rejects are corrected exactly once, or dismissed; the summary counts those that are open."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from loader.loading.pipeline import load
from service.core.database.transactions import Database
from service.core.writes.corrections.outcomes import CODES, SQL
from tests.support.csv_files import Folder, names
from tests.support.hires import add_parents, codes, count, hire

Client = httpx.AsyncClient


async def rejected(client: Client, path: str = "/employees", **fields: Any) -> int:
    """The id of the reject of a row."""
    reply = await client.post(path, json=hire(**fields) if path == "/employees" else fields)
    assert reply.status_code == 422, reply.text
    return int((await rejects(client))[-1]["id"])


async def rejects(client: Client, **query: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = (await client.get("/rejects", params=query)).json()["rows"]
    return rows


async def correct(client: Client, key: int, record: Any, **headers: str) -> httpx.Response:
    return await client.post(f"/rejects/{key}/correction", json=record, headers=headers)


async def dismiss(client: Client, key: int, body: Any) -> httpx.Response:
    return await client.post(f"/rejects/{key}/dismissal", json=body)


async def test_a_corrected_record_is_inserted_and_its_reject_closed(
    api: Client, database: Database
) -> None:
    await add_parents(database, range(1, 3))
    key = await rejected(api, name=" ")
    assert (await rejects(api))[0]["state"] == "open"
    reply = await correct(api, key, hire(name="Ada"))
    assert reply.status_code == 201, reply.text
    outcome = reply.json()
    assert (outcome["reject"], outcome["state"], outcome["closed_by"]) == (
        key,
        "corrected",
        "admin",
    )
    row = (await api.get(f"/employees/{outcome['id']}")).json()
    assert row == {"id": outcome["id"], **hire(name="Ada")}
    (reject,) = await rejects(api)
    closed = datetime.fromisoformat(reject["closed_at"])
    assert abs((datetime.now(UTC) - closed).total_seconds()) < 60
    assert (reject["state"], reject["closed_by"]) == ("corrected", "admin")
    assert reject["row_id"] == outcome["id"]
    alone = (await api.get(f"/rejects/{key}")).json()
    assert alone == reject


async def test_a_record_that_is_still_wrong_is_answered_with_its_errors(
    api: Client, database: Database
) -> None:
    await add_parents(database, range(1, 3))
    key = await rejected(api, name=" ")
    reply = await correct(api, key, hire(name="", job_id=9))
    assert reply.status_code == 422
    assert codes(reply.json()["failures"][0]) == {("name", "blank"), ("job_id", "not_found")}
    assert len(await rejects(api)) == 1
    assert (await rejects(api))[0]["state"] == "open"
    assert await count(database, "hired_employees") == 0
    assert (await correct(api, key, hire())).status_code == 201


async def test_a_reject_is_corrected_exactly_once(api: Client, database: Database) -> None:
    await add_parents(database, range(1, 3))
    key = await rejected(api, name=" ")
    replies = await asyncio.gather(*(correct(api, key, hire()) for _ in range(6)))
    assert sorted(reply.status_code for reply in replies) == [201, *[409] * 5]
    assert await count(database, "hired_employees") == 1
    late = await correct(api, key, hire())
    assert re.search(rf"Reject {key} was corrected by admin at 20.*Z\.", late.json()["detail"])
    assert (await dismiss(api, key, {"reason": "late"})).status_code == 409


async def test_a_repeated_request_gets_the_first_reply(api: Client, database: Database) -> None:
    await add_parents(database, range(1, 3))
    key = await rejected(api, name=" ")
    first, again = [await correct(api, key, hire(), **{"Idempotency-Key": "k"}) for _ in range(2)]
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.content == again.content
    assert again.headers["Idempotency-Replayed"] == "true"


async def test_a_key_belongs_to_a_reject_however_its_number_is_written(
    api: Client, database: Database
) -> None:
    await add_parents(database, range(1, 3))
    key = await rejected(api, name=" ")
    replies = [
        await api.post(
            f"/rejects/{number}/correction", json=hire(), headers={"Idempotency-Key": "k"}
        )
        for number in (f"{key:0300}", key)
    ]
    assert [reply.status_code for reply in replies] == [201, 201], replies[1].text
    assert replies[1].headers["Idempotency-Replayed"] == "true"


async def test_a_record_of_a_file_keeps_its_id(
    api: Client, database: Database, tmp_path: Path
) -> None:
    folder = Folder(tmp_path)
    folder.write(hired_employees=["7,Ana,never,1,1", "8,Eve,2021-01-01T00:00:00Z,1,1", "9,,x,1,1"])
    await load(database, folder.options())
    first, second = [reject["id"] for reject in await rejects(api)]
    taken = await correct(api, first, {"id": 8, **hire(name="Ana")})
    assert taken.status_code == 422
    assert codes(taken.json()["failures"][0]) == {("id", "duplicate")}
    assert (await correct(api, first, {"id": 7, **hire(name="Ana")})).json()["id"] == 7
    wrong = await correct(api, second, {"id": "9", **hire(name="")})
    assert codes(wrong.json()["failures"][0]) == {("id", "type"), ("name", "blank")}
    generated = (await correct(api, second, hire(name="Ida"))).json()["id"]
    assert await names(database) == {7: "Ana", 8: "Eve", generated: "Ida"}


async def test_a_posted_record_has_no_id(api: Client) -> None:
    key = await rejected(api, "/jobs", job="")
    reply = await correct(api, key, {"id": 5, "job": "Cook"})
    assert codes(reply.json()["failures"][0]) == {("id", "unknown_field")}


async def test_a_reject_is_dismissed_with_a_reason(api: Client, database: Database) -> None:
    key = await rejected(api, "/jobs", job="")
    bodies: tuple[Any, ...] = (
        {},
        {"reason": ""},
        {"reason": " "},
        {"reason": "x" * 1001},
        {"reason": 5},
        [],
        "x",
    )
    for body in bodies:
        assert (await dismiss(api, key, body)).status_code == 400
    assert (await dismiss(api, key, {"reason": "a\x00"})).status_code == 400
    reply = await dismiss(api, key, {"reason": "A test of the form."})
    assert (reply.status_code, reply.json()["state"]) == (200, "dismissed")
    (reject,) = await rejects(api, state="dismissed")
    assert (reject["reason"], reject["row_id"]) == ("A test of the form.", None)
    assert (await correct(api, key, {"job": "Cook"})).status_code == 409
    assert await count(database, "jobs") == 0


@pytest.mark.parametrize("number", ["999999", "0", str(2**63)])
async def test_a_reject_that_does_not_exist_is_404(api: Client, number: str) -> None:
    for reply in [
        await api.post(f"/rejects/{number}/correction", json={"job": "Cook"}),
        await api.post(f"/rejects/{number}/dismissal", json={"reason": "x"}),
    ]:
        assert reply.status_code == 404


@pytest.mark.parametrize("route", ["/rejects/1/correction", "/rejects/1/dismissal"])
async def test_a_body_of_another_media_type_is_refused(api: Client, route: str) -> None:
    headers = {"Content-Type": "text/csv"}
    assert (await api.post(route, content=b"name", headers=headers)).status_code == 415


@pytest.mark.parametrize("route", ["/rejects/1/correction", "/rejects/1/dismissal"])
async def test_a_body_above_the_limit_is_refused(api: Client, route: str) -> None:
    limit = (await api.get("/limits")).json()["body_bytes"]
    reply = await api.post(route, content=b" " * (limit + 1))
    assert reply.status_code == 413


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", 400),
        (b"[]", 422),
        (b"nonsense", 400),
        (b'[{"job": "A"}, {"job": "B"}]', 400),
    ],
)
async def test_a_correction_is_one_record(api: Client, content: bytes, status: int) -> None:
    key = await rejected(api, "/jobs", job="")
    reply = await api.post(f"/rejects/{key}/correction", content=content)
    assert reply.status_code == status, reply.text
    assert (await rejects(api))[0]["state"] == "open"


async def test_rejects_are_filtered_by_state(api: Client) -> None:
    keys = [await rejected(api, "/jobs", job="") for _ in range(3)]
    await correct(api, keys[0], {"job": "Cook"})
    await dismiss(api, keys[1], {"reason": "x"})
    for state, key in zip(("corrected", "dismissed", "open"), keys, strict=True):
        assert [reject["id"] for reject in await rejects(api, state=state)] == [key]
    assert (await api.get("/rejects?state=closed")).status_code == 400


def test_the_summary_counts_every_code() -> None:
    columns = re.findall(r"""'\{"code": "(\w+)"\}'\)\) AS (\w+)""", SQL["summary"])
    assert columns == [(code, code) for code in CODES]


async def test_the_summary_counts_open_rejects(api: Client) -> None:
    assert (await api.get("/rejects/summary")).json() == {"open": 0, "rows": []}
    first = await rejected(api, "/jobs", job="")
    await rejected(api, "/jobs", job="", other=1)
    await rejected(api, "/departments", department=5)
    await rejected(api)
    day = datetime.now(UTC).date().isoformat()
    found = (await api.get("/rejects/summary")).json()
    assert found["open"] == 4
    assert all(
        abs((datetime.fromisoformat(row["day"]) - datetime.fromisoformat(day)).days) < 2
        for row in found["rows"]
    )
    counted = {(row["table"], row["source"], row["code"]): row["rejects"] for row in found["rows"]}
    assert counted == {
        ("jobs", "api", "blank"): 2,
        ("jobs", "api", "unknown_field"): 1,
        ("departments", "api", "type"): 1,
        ("hired_employees", "api", "not_found"): 1,
    }
    await dismiss(api, first, {"reason": "x"})
    await api.post("/jobs", json={"job": "Cook"})
    found = (await api.get("/rejects/summary")).json()
    assert found["open"] == 3
    assert found["rows"][-1]["table"] == "jobs"


async def test_the_outcome_of_a_reject_expires_with_it(api: Client, database: Database) -> None:
    key = await rejected(api, "/jobs", job="")
    await dismiss(api, key, {"reason": "x"})
    async with database.transaction() as transaction:
        await transaction.execute("DELETE FROM rejects WHERE id = %s", (key,))
    assert await count(database, "reject_outcomes") == 0
