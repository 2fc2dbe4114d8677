"""The page of reports without a browser: the same figures as the API, and refused choices."""

from __future__ import annotations

import re
import threading
from typing import Any

import httpx
import pytest

from service.core import reports as counted
from service.core.database.transactions import Database
from service.web.console.pages import reports
from tests.integration.api.test_reports import ABOVE, put
from tests.support.console import HTML


async def shown(client: httpx.AsyncClient, query: str = "") -> str:
    reply = await client.get(f"/console/reports?{query}", headers=HTML)
    assert reply.status_code == 200
    return reply.text


async def test_the_page_and_the_api_agree_on_departments_above_the_mean(
    client: httpx.AsyncClient, database: Database
) -> None:
    hires = [("2021-05-05", at, 1) for at in (1, 1, 1, 2, 2, 4)] + [("2020-05-05", 3, 1)] * 9
    await put(database, hires, {at: f"Number {at}" for at in range(1, 6)})
    text = (await shown(client, "year=2021")).partition('aria-label="Departments above')[2]
    found = re.findall(
        r'departments/(\d+)">\d+</a></td><td>(.*?)</td><td class="number">(\d+)', text
    )
    assert [(int(key), name, int(hired)) for key, name, hired in found] == [
        tuple(row.values()) for row in (await client.get(f"{ABOVE}?year=2021")).json()
    ]
    assert found


@pytest.mark.parametrize(
    "query",
    [
        *("order=nonsense", "order=--job", "order=", "year=0", "department_id=0"),
        *(
            "department_id=-1",
            "department_id=2147483648",
            "department_id=x",
            "department_id=%D9%A3",
        ),
    ],
)
async def test_a_choice_that_there_is_not_is_a_problem(
    client: httpx.AsyncClient, query: str
) -> None:
    reply = await client.get(f"/console/reports?{query}", headers=HTML)
    assert reply.status_code == 400
    assert query.partition("=")[0] in reply.text


async def test_every_order_has_all_rows(client: httpx.AsyncClient, database: Database) -> None:
    await put(database, [("2021-05-05", at, 1 + at % 2) for at in (1, 2, 3)])
    for order in reports.ORDERS:
        text = await shown(client, f"order={order}")
        assert text.count("<td>Clerk</td>") + text.count("<td>Baker</td>") == 3


@pytest.mark.parametrize("query", ["department_id=9", "year=1999", "department_id=&year=2021"])
async def test_a_choice_without_hires_is_a_page(
    client: httpx.AsyncClient, database: Database, query: str
) -> None:
    await put(database, [("2021-05-05", 1, 1)])
    text = await shown(client, query)
    assert ("No hires in" in text) == ("2021" not in query)


async def test_a_long_table_says_how_many_rows_it_has(
    client: httpx.AsyncClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reports, "SHOWN", 2)
    await put(database, [("2021-05-05", at, 1) for at in (1, 2, 3)])
    assert "The first 2 of 3 rows" in await shown(client)


async def test_the_event_loop_is_free_while_a_year_is_summed(
    client: httpx.AsyncClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = set()

    def watched(name: str) -> Any:
        function = getattr(counted, name)

        def call(*args: Any) -> Any:
            threads.add(threading.current_thread())
            return function(*args)

        return call

    for name in ("by_department", "total"):
        monkeypatch.setattr(counted, name, watched(name))
    await put(database, [("2021-05-05", at, 1) for at in (1, 2, 3)])
    await shown(client)
    assert len(threads) == 1
    assert threading.main_thread() not in threads
