"""GET /{table}/{id}/changes: each change of a row is recorded once, in its own transaction."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from service.core.database.transactions import Database
from service.core.settings import Settings
from tests.conftest import USER, calling
from tests.support.hires import add_hire_7, add_parents, count, hire

Client = httpx.AsyncClient
URL = "/employees/7"


@pytest.fixture(autouse=True)
async def _rows(database: Database) -> None:
    """Departments and jobs 1 to 3; hire 7."""
    await add_parents(database, range(1, 4))
    await add_hire_7(database)


async def changes(client: Client, url: str = URL, **query: Any) -> list[dict[str, Any]]:
    reply = await client.get(f"{url}/changes", params=query)
    assert reply.status_code == 200, reply.text
    rows: list[dict[str, Any]] = reply.json()["rows"]
    return rows


async def test_a_change_and_a_deletion_are_recorded(api: Client) -> None:
    before = (await api.get(URL)).json()
    after = (await api.patch(URL, json={"name": "Ada", "job_id": 3})).json()
    assert (await api.delete(URL)).json() == after
    first, second = await changes(api)
    assert (first["kind"], first["before"], first["after"]) == ("changed", before, after)
    assert (second["kind"], second["before"], second["after"]) == ("deleted", after, None)
    assert first["id"] < second["id"]
    for change in (first, second):
        assert change["changed_by"] == USER
        age = datetime.now(UTC) - datetime.fromisoformat(change["changed_at"])
        assert abs(age.total_seconds()) < 60


async def test_each_table_and_row_has_its_own_history(api: Client) -> None:
    await api.patch("/departments/2", json={"department": "Law"})
    await api.patch("/jobs/2", json={"job": "Clerk"})
    (change,) = await changes(api, "/jobs/2")
    assert change["after"] == {"id": 2, "job": "Clerk"}
    assert await changes(api, "/jobs/1") == await changes(api) == []


async def test_what_changes_nothing_is_not_recorded(api: Client) -> None:
    etag = (await api.get(URL)).headers["ETag"]
    for status, fields, headers in [
        (200, {}, {}),
        (200, {"name": "Ana"}, {}),
        (422, {"name": " "}, {}),
        (409, {"job_id": 9}, {}),
        (412, {"name": "Eve"}, {"If-Match": f"W/{etag}"}),
    ]:
        reply = await api.patch(URL, json=fields, headers=headers)
        assert reply.status_code == status, reply.text
    assert (await api.delete("/departments/1")).status_code == 409
    assert await changes(api) == await changes(api, "/departments/1") == []


async def test_a_repeated_request_is_recorded_once(api: Client) -> None:
    for method, body in (("PATCH", {"name": "Ada"}), ("DELETE", None)):
        key = {"Idempotency-Key": method}
        replies = [await api.request(method, URL, json=body, headers=key) for _ in range(2)]
        assert [reply.status_code for reply in replies] == [200, 200]
    assert [change["kind"] for change in await changes(api)] == ["changed", "deleted"]


async def test_concurrent_changes_are_recorded_in_their_order(api: Client) -> None:
    names = [f"N{number}" for number in range(12)]
    replies = await asyncio.gather(*(api.patch(URL, json={"name": name}) for name in names))
    done = [reply.json()["name"] for reply in replies if reply.status_code == 200]
    assert {reply.status_code for reply in replies} <= {200, 503}
    assert len(done) > 1
    found = await changes(api)
    assert sorted(change["after"]["name"] for change in found) == sorted(done)
    states = ["Ana", *(change["after"]["name"] for change in found)]
    assert states[:-1] == [change["before"]["name"] for change in found]
    assert states[-1] == (await api.get(URL)).json()["name"]


async def test_without_its_record_a_change_is_not_made(api: Client, database: Database) -> None:
    before = (await api.get(URL)).json()
    async with database.transaction() as transaction:
        await transaction.execute("ALTER TABLE row_changes ADD COLUMN refused INT NOT NULL")
    try:
        for reply in [await api.patch(URL, json={"name": "Ada"}), await api.delete(URL)]:
            assert reply.status_code >= 500
    finally:
        async with database.transaction() as transaction:
            await transaction.execute("ALTER TABLE row_changes DROP COLUMN refused")
    assert (await api.get(URL)).json() == before
    assert await count(database, "row_changes") == 0
    assert (await api.patch(URL, json={"name": "Ada"})).status_code == 200


async def test_a_history_has_pages(api: Client) -> None:
    for number in range(5):
        await api.patch(URL, json={"name": f"N{number}"})
    every = await changes(api)
    first = await api.get(f"{URL}/changes", params={"limit": 2})
    assert first.json() == {"rows": every[:2], "next": every[1]["id"]}
    assert first.links["next"]["url"] == f"?limit=2&after={every[1]['id']}"
    assert await changes(api, after=every[1]["id"]) == every[2:]
    assert await changes(api, after=every[-1]["id"]) == []


async def test_a_deleted_row_keeps_its_history_and_a_new_one_continues_it(
    api: Client, database: Database
) -> None:
    await api.delete(URL)
    (deleted,) = await changes(api)
    await add_hire_7(database, "Bo")
    await api.patch(URL, json={"name": "Bob"})
    first, second = await changes(api)
    assert first == deleted
    assert second["before"]["name"] == "Bo"


@pytest.mark.parametrize("number", ["8", "0", "2147483648", str(2**63)])
async def test_a_row_that_never_was_is_404(api: Client, number: str) -> None:
    reply = await api.get(f"/employees/{number}/changes")
    assert (reply.status_code, "employees" in reply.json()["detail"]) == (404, True)


async def test_batches_are_not_in_the_history(api: Client) -> None:
    (key,) = (await api.post("/employees", json=hire())).json()["ids"]
    assert await changes(api, f"/employees/{key}") == []


async def test_the_user_is_recorded(several: Settings) -> None:
    async with calling(several) as client:
        by = httpx.BasicAuth("reader-writer", "reader-writer")
        await client.patch(URL, json={"name": "Ada"}, auth=by)
        (change,) = (await client.get(f"{URL}/changes", auth=by)).json()["rows"]
        assert change["changed_by"] == "reader-writer"
        refused = await client.get(f"{URL}/changes", auth=("writer", "writer"))
        assert refused.status_code == 403
