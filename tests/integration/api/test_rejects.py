"""GET /rejects: filters and pages."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from httpx import AsyncClient

from service.core.database.transactions import Database
from service.core.rules.fields import Error
from service.core.rules.reject import Reject
from service.core.tables import TABLES, by_path
from service.core.writes import rejects as log
from service.core.writes.rejects import RejectOrigin, log_rejects


async def rejects(client: AsyncClient, query: str = "") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await client.get(f"/rejects{query}")).json()["rows"]
    return found


async def test_a_reject_has_its_time_source_position_record_and_errors(client: AsyncClient) -> None:
    await client.post("/jobs", content=b'[{"job":"Clerk"}, {"job" :  "", "a": 1}]')
    (reject,) = await rejects(client)
    when = datetime.fromisoformat(reject["rejected_at"])
    assert abs(datetime.now(UTC) - when) < timedelta(minutes=1)
    assert (reject["source"], reject["origin"]) == ("api", "POST /jobs")
    assert (reject["table"], reject["position"]) == ("jobs", 1)
    assert reject["record"] == '{"job" :  "", "a": 1}'
    assert {(error["field"], error["code"]) for error in reject["errors"]} == {
        ("job", "blank"),
        ("a", "unknown_field"),
    }
    assert all(error["message"] for error in reject["errors"])


@pytest.fixture
async def logged(database: Database) -> None:
    """A reject of every table from every way in."""
    error = [Error(None, "malformed", "is no row")]
    async with database.transaction() as transaction:
        for table in TABLES:
            for source in ("api", "loader", "restore"):
                origin = RejectOrigin(source, "somewhere", None)
                await log_rejects(transaction, table, [Reject(0, "x", error)], origin)


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("", 9),
        ("?table=jobs", 3),
        ("?table=employees", 3),
        ("?source=loader", 3),
        ("?table=departments&source=restore", 1),
        ("?limit=4", 4),
    ],
)
async def test_rejects_are_filtered_by_table_and_source(
    client: AsyncClient, logged: None, query: str, count: int
) -> None:
    assert len(await rejects(client, query)) == count


@pytest.mark.parametrize(
    ("name", "texts"),
    [("state", "open, corrected, dismissed"), ("source", "api, loader, restore")],
)
async def test_an_error_of_a_choice_names_the_texts(
    client: AsyncClient, name: str, texts: str
) -> None:
    reply = await client.get("/rejects", params={name: "x"})
    assert reply.json()["detail"] == f"Parameter '{name}': must be one of {texts}."


@pytest.mark.parametrize("name", ["state", "source", "limit", "after"])
async def test_a_wrong_value_is_refused_by_the_name_of_its_parameter(
    client: AsyncClient, name: str
) -> None:
    reply = await client.get(f"/rejects?{name}=OPEN")
    assert reply.status_code == 400
    assert [error["key"] for error in reply.json()["errors"]] == [name]
    assert f"'{name}'" in reply.json()["detail"]


async def test_a_filter_returns_only_matching_rejects(client: AsyncClient, logged: None) -> None:
    (reject,) = await rejects(client, "?table=employees&source=loader")
    assert (reject["table"], reject["source"]) == (by_path("employees").name, "loader")


async def test_pages_of_a_filter_follow_one_another(client: AsyncClient, logged: None) -> None:
    first = (await client.get("/rejects?source=api&limit=2")).json()
    second = (await client.get(f"/rejects?source=api&limit=2&after={first['next']}")).json()
    assert [row["source"] for row in first["rows"] + second["rows"]] == ["api"] * 3
    assert second["next"] is None


@pytest.mark.parametrize(
    "query", ["state=open", "state=corrected&table=jobs", "table=jobs&source=api"]
)
async def test_a_page_looks_at_a_limited_number_of_rejects(
    client: AsyncClient, monkeypatch: pytest.MonkeyPatch, query: str
) -> None:
    """It may be short or even empty, but every reject is on a page."""
    monkeypatch.setattr(log, "LOOKED_AT", 4)
    for at in range(21):
        await client.post(("/jobs", "/departments")[at % 2], json={})
    every = await rejects(client, "?limit=1000")
    for reject in every[: 2 if "open" in query else 0]:
        await client.post(f"/rejects/{reject['id']}/dismissal", json={"reason": "x"})
    for reject in every[-2:]:
        await client.post(f"/rejects/{reject['id']}/correction", json={reject["table"][:-1]: "A"})
    wanted = dict(part.split("=") for part in query.split("&"))
    pages, after = [], 0
    while after is not None:
        reply = (await client.get(f"/rejects?{query}&limit=3&after={after}")).json()
        pages.append([row["id"] for row in reply["rows"]])
        after = reply["next"]
    found = await rejects(client, "?limit=1000")
    assert [key for page in pages for key in page] == [
        row["id"] for row in found if all(row[name] == text for name, text in wanted.items())
    ]
    assert len(pages) >= 3


@pytest.mark.parametrize(
    "record", ["[" * 300 + "]" * 300, '"' + "é😀" * 9000 + '"', "1e999", '"\\ud83d\\ude00\\u0000"']
)
async def test_any_record_is_kept_as_it_was_sent(client: AsyncClient, record: str) -> None:
    reply = await client.post("/jobs", content=f"[{record}]".encode())
    assert reply.status_code == 422
    assert record in reply.text
    (listed,) = await rejects(client)
    reject = (await client.get(f"/rejects/{listed['id']}")).json()
    assert reject["record"] == record
    assert record.startswith(listed["record"])
