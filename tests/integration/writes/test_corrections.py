"""PATCH and DELETE of a single row: the rules of new rows, no lost update, no orphan."""

from __future__ import annotations

import asyncio
import gzip
import json
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.core.backups.staged.guard import add_guards, remove_guards
from service.core.database.transactions import Database
from tests.support.hires import add_hire_7, add_parents, codes, count, hire
from tests.support.orphans import ORPHANS

Client = httpx.AsyncClient
URL = "/employees/7"


@pytest.fixture(autouse=True)
async def _rows(database: Database) -> None:
    """Departments and jobs 1 to 3, of which 3 has no hires; hire 7."""
    await add_parents(database, range(1, 4))
    await add_hire_7(database)


async def stored(client: Client, url: str = URL) -> dict[str, Any]:
    return dict((await client.get(url)).json())


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        ({"name": "Ada"}, {"name": "Ada"}),
        ({"datetime": "2020-01-01T02:00:00+02:00"}, {"datetime": "2020-01-01T00:00:00Z"}),
        ({"department_id": 3, "job_id": 3}, {"department_id": 3, "job_id": 3}),
        ({}, {}),
        ({"name": "Ana"}, {}),
    ],
)
async def test_the_fields_that_are_named_change(
    api: Client, fields: dict[str, Any], shown: dict[str, Any]
) -> None:
    before = await api.get(URL)
    reply = await api.patch(URL, json=fields)
    assert reply.status_code == 200, reply.text
    assert reply.json() == before.json() | shown
    after = await api.get(URL)
    assert after.content == reply.content
    assert after.headers["ETag"] == reply.headers["ETag"]
    assert (after.headers["ETag"] == before.headers["ETag"]) == (not shown)


@pytest.mark.parametrize(
    ("fields", "errors"),
    [
        ({"name": " "}, {("name", "blank")}),
        ({"name": None}, {("name", "type")}),
        (
            {"datetime": "2021-02-30T00:00:00Z", "job_id": "1"},
            {("datetime", "format"), ("job_id", "type")},
        ),
        ({"id": 8}, {("id", "unknown_field")}),
        (
            {"nme": "Ada", "department_id": 99},
            {("nme", "unknown_field"), ("department_id", "not_found")},
        ),
    ],
)
async def test_a_change_that_breaks_a_rule_is_refused_with_every_error(
    api: Client, fields: dict[str, Any], errors: set[tuple[str, str]]
) -> None:
    before = await stored(api)
    reply = await api.patch(URL, json=fields)
    assert reply.status_code == 422
    problem = reply.json()
    assert reply.headers["Content-Type"] == "application/problem+json"
    assert (problem["failed"], codes(problem["failures"][0])) == (1, errors)
    assert problem["failures"][0]["record"] == fields
    assert await stored(api) == before


async def test_a_parent_that_does_not_exist_is_a_conflict(api: Client) -> None:
    reply = await api.patch(URL, json={"department_id": 9, "job_id": 8})
    assert reply.status_code == 409
    expected = {("department_id", "not_found"), ("job_id", "not_found")}
    assert codes(reply.json()["failures"][0]) == expected
    assert "department_id 9 is not in departments" in reply.json()["detail"]


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=9)
    | st.sampled_from(["\ud83d", "a\udc00"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)
FIELDS = ["name", "datetime", "department_id", "job_id", "id", "other"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(fields=st.dictionaries(st.sampled_from(FIELDS), json_values, max_size=3))
async def test_any_change_has_the_errors_of_a_new_row(api: Client, fields: dict[str, Any]) -> None:
    row = await stored(api)
    del row["id"]
    content = json.dumps(row | fields).encode()
    posted = (await api.post("/employees?dry_run=true", content=content)).json()
    reply = await api.patch(URL, content=json.dumps(fields).encode())
    if posted["failed"]:
        assert reply.status_code in (409, 422), reply.text
        assert reply.json()["failures"][0]["errors"] == posted["failures"][0]["errors"]
    else:
        assert reply.status_code == 200


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"", "application/json", 400),
        (b"[]", "application/json", 400),
        (b'[{"name": "Ada"}]', "application/json", 400),
        (b'"x"', "application/json", 400),
        (b"{", "application/json", 400),
        (b'{"name": "\xff"}', "application/json", 400),
        (b'{"name":' + b"[" * 100_000, "application/json", 400),
        (b"name\nAda\n", "text/csv", 415),
        (b'{"name": "Ada"}', "application/merge-patch+json; charset=utf-8", 200),
    ],
)
async def test_a_body_is_one_json_object(
    api: Client, content: bytes, kind: str, status: int
) -> None:
    reply = await api.patch(URL, content=content, headers={"Content-Type": kind})
    assert reply.status_code == status, reply.text


async def test_a_body_may_be_compressed(api: Client) -> None:
    body = gzip.compress(b'{"name": "Ada"}')
    reply = await api.patch(URL, content=body, headers={"Content-Encoding": "gzip"})
    assert reply.json()["name"] == "Ada"


@pytest.mark.parametrize("number", ["8", "0", "-1", "2147483648", str(2**63)])
async def test_a_row_that_does_not_exist_is_404(api: Client, number: str) -> None:
    for reply in [
        await api.patch(f"/employees/{number}", json={"name": "Ada"}),
        await api.delete(f"/employees/{number}"),
    ]:
        assert reply.status_code == 404
        assert "employees" in reply.json()["detail"]


async def test_a_row_that_has_changed_is_not_overwritten(api: Client) -> None:
    etag = (await api.get(URL)).headers["ETag"]
    first = await api.patch(URL, json={"name": "Ada"}, headers={"If-Match": etag})
    assert first.status_code == 200
    for reply in [
        await api.patch(URL, json={"name": "Eve"}, headers={"If-Match": etag}),
        await api.delete(URL, headers={"If-Match": f"{etag}, W/{first.headers['ETag']}"}),
    ]:
        assert reply.status_code == 412
        assert "has changed" in reply.json()["detail"]
    assert (await stored(api))["name"] == "Ada"
    either = f'"x", {first.headers["ETag"]}'
    assert (await api.patch(URL, json={}, headers={"If-Match": either})).status_code == 200
    assert (await api.delete(URL, headers={"If-Match": "*"})).status_code == 200


@pytest.mark.parametrize("value", ["", ",", "7", '"', "W/*", "etag"])
async def test_an_if_match_without_the_etag_protects_the_row(api: Client, value: str) -> None:
    """A script whose variable is empty overwrites nothing."""
    headers = {"If-Match": value}
    for reply in [
        await api.patch(URL, json={"name": "Eve"}, headers=headers),
        await api.delete(URL, headers=headers),
    ]:
        assert reply.status_code == 412
    assert (await stored(api))["name"] == "Ana"


async def test_of_many_changes_at_once_one_is_made(api: Client) -> None:
    etag = (await api.get(URL)).headers["ETag"]
    replies = await asyncio.gather(
        *(
            api.patch(URL, json={"name": f"N{number}"}, headers={"If-Match": etag})
            for number in range(6)
        )
    )
    statuses = sorted(reply.status_code for reply in replies)
    assert [status for status in statuses if status not in (412, 503)] == [200]
    (done,) = [reply for reply in replies if reply.status_code == 200]
    assert await stored(api) == done.json()


async def test_changes_of_different_fields_at_once_are_all_made(api: Client) -> None:
    changes = [{"name": "Ada"}, {"department_id": 2}, {"job_id": 3}]
    replies = await asyncio.gather(*(api.patch(URL, json=fields) for fields in changes))
    assert [reply.status_code for reply in replies] == [200] * 3
    row = await stored(api)
    assert (row["name"], row["department_id"], row["job_id"]) == ("Ada", 2, 3)


async def test_a_deleted_row_is_the_reply(api: Client, database: Database) -> None:
    row = await api.get(URL)
    reply = await api.delete(URL)
    assert (reply.status_code, reply.content) == (200, row.content)
    assert await count(database, "hired_employees") == 0
    assert (await api.delete(URL)).status_code == 404


async def test_a_row_that_others_refer_to_is_kept(api: Client, database: Database) -> None:
    await api.post("/employees", json=[hire(department_id=1, job_id=1), hire(department_id=1)])
    reply = await api.delete("/departments/1")
    assert reply.status_code == 409
    problem = reply.json()
    assert problem["detail"].startswith("3 rows of employees refer to row 1 of departments.")
    assert (problem["orphans"], len(problem["rows"])) == (3, 3)
    assert problem["rows"][0] == {
        "table": "employees",
        "id": 7,
        "field": "department_id",
        "parent": 1,
    }
    assert await count(database, "departments") == 3
    assert (await api.delete("/departments/3")).status_code == 200


async def test_no_hire_loses_a_department_that_is_deleted_meanwhile(
    api: Client, database: Database
) -> None:
    for _ in range(10):
        (key,) = (await api.post("/departments", json={"department": "Short"})).json()["ids"]
        posted, deleted = await asyncio.gather(
            api.post("/employees", json=hire(department_id=key)), api.delete(f"/departments/{key}")
        )
        assert (posted.status_code, deleted.status_code) in [(201, 409), (422, 200)]
    assert await database.fetch(ORPHANS) == [(0,)]


async def test_a_row_is_kept_while_its_table_is_restored(api: Client, database: Database) -> None:
    before = await stored(api)
    await add_guards(database, ["hired_employees"])
    try:
        for reply in [await api.patch(URL, json={"name": "Ada"}), await api.delete(URL)]:
            assert (reply.status_code, "Retry-After" in reply.headers) == (503, True)
        assert await stored(api) == before
    finally:
        await remove_guards(database, ["hired_employees"])
    assert (await api.delete(URL)).status_code == 200


async def test_a_repeated_request_changes_once(api: Client) -> None:
    key = {"Idempotency-Key": "correct-7"}
    first = await api.patch(URL, json={"name": "Ada"}, headers=key)
    await api.patch(URL, json={"name": "Eve"})
    again = await api.patch(URL, json={"name": "Ada"}, headers=key)
    assert (again.status_code, again.content) == (200, first.content)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.headers["ETag"] == first.headers["ETag"]
    assert (await stored(api))["name"] == "Eve"
    other = await api.patch(URL, json={"name": "Ida"}, headers=key)
    assert other.status_code == 422
    match = await api.patch(URL, json={"name": "Ada"}, headers=key | {"If-Match": "*"})
    assert match.status_code == 422


async def test_a_repeated_deletion_has_the_same_reply(api: Client) -> None:
    key = {"Idempotency-Key": "delete-7"}
    first, again = [await api.delete(URL, headers=key) for _ in range(2)]
    assert first.status_code == again.status_code == 200
    assert first.content == again.content


async def test_a_refused_change_is_not_kept_under_its_key(api: Client, database: Database) -> None:
    key = {"Idempotency-Key": "wait-for-9"}
    assert (await api.patch(URL, json={"job_id": 9}, headers=key)).status_code == 409
    await add_parents(database, range(9, 10))
    reply = await api.patch(URL, json={"job_id": 9}, headers=key)
    assert (reply.status_code, "Idempotency-Replayed" in reply.headers) == (200, False)
    assert (await stored(api))["job_id"] == 9
