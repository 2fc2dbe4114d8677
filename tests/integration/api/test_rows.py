"""GET of lists by keyset, and of single rows."""

from __future__ import annotations

from typing import Any

import pytest
from httpx import AsyncClient

from service.core.database.transactions import Database
from service.core.tables import TABLES, Table


async def fill(database: Database, *ids: int) -> None:
    """Departments with these ids."""
    async with database.transaction() as transaction:
        rows = [(number, f"D{number}") for number in ids]
        await transaction.insert(TABLES[0].sql["insert_with_id"], rows)


async def page(client: AsyncClient, query: str) -> tuple[list[int], Any]:
    """The ids of a page, and where the next begins."""
    body = (await client.get(f"/departments{query}")).json()
    return [row["id"] for row in body["rows"]], body["next"]


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.path)
async def test_an_empty_table_is_an_empty_page(client: AsyncClient, table: Table) -> None:
    assert (await client.get(f"/{table.path}")).json() == {"rows": [], "next": None}


async def test_pages_follow_one_another_over_gaps(client: AsyncClient, database: Database) -> None:
    await fill(database, 1, 2, 5, 9, 2**31 - 1)
    assert await page(client, "?limit=2") == ([1, 2], 2)
    assert await page(client, "?limit=2&after=2") == ([5, 9], 9)
    assert await page(client, "?limit=2&after=9") == ([2**31 - 1], None)
    assert await page(client, "?after=3") == ([5, 9, 2**31 - 1], None)
    assert await page(client, f"?after={2**63 - 1}") == ([], None)


async def test_a_page_has_100_rows_unless_asked_and_1000_at_most(
    client: AsyncClient, database: Database
) -> None:
    await fill(database, *range(1, 1002))
    assert await page(client, "") == (list(range(1, 101)), 100)
    assert await page(client, "?limit=1000") == (list(range(1, 1001)), 1000)


async def test_following_next_visits_every_row_once(
    client: AsyncClient, database: Database
) -> None:
    await fill(database, *range(3, 300, 7))
    seen: list[int] = []
    after: int | None = 0
    while after is not None:
        ids, after = await page(client, f"?limit=10&after={after}")
        seen += ids
    assert seen == list(range(3, 300, 7))


async def test_an_inserted_row_does_not_shift_pages(
    client: AsyncClient, database: Database
) -> None:
    await fill(database, 10, 20, 30)
    assert await page(client, "?limit=2") == ([10, 20], 20)
    await fill(database, 5)
    assert await page(client, "?limit=2&after=20") == ([30], None)


async def test_a_row_reads_the_same_alone_as_on_its_page(client: AsyncClient) -> None:
    (department,) = (await client.post("/departments", json={"department": "A"})).json()["ids"]
    (job,) = (await client.post("/jobs", json={"job": "B"})).json()["ids"]
    row = {
        "name": "Ana",
        "datetime": "2021-07-27T18:02:08.25+02:00",
        "department_id": department,
        "job_id": job,
    }
    (number,) = (await client.post("/employees", json=row)).json()["ids"]
    alone = (await client.get(f"/employees/{number}")).json()
    assert alone == {"id": number, **row, "datetime": "2021-07-27T16:02:08.250000Z"}
    assert (await client.get("/employees")).json()["rows"] == [alone]


@pytest.mark.parametrize("path", ["departments", "jobs", "employees", "rejects"])
async def test_a_trailing_slash_makes_no_difference(client: AsyncClient, path: str) -> None:
    with_slash, without = await client.get(f"/{path}/"), await client.get(f"/{path}")
    assert with_slash.status_code == without.status_code == 200
    assert with_slash.json() == without.json()


async def test_a_post_takes_a_trailing_slash_too(client: AsyncClient) -> None:
    assert (await client.post("/jobs/", json={"job": "Clerk"})).status_code == 201


async def test_a_single_row_takes_a_trailing_slash_too(
    client: AsyncClient, database: Database
) -> None:
    await fill(database, 7)
    assert (await client.get("/departments/7/")).json() == {"id": 7, "department": "D7"}
