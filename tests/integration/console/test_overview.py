"""The overview without a browser: its facts, its empty states by role, and no database."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from service.core import monthly_hires
from service.core.database.servers.health import health_of_servers
from service.core.database.transactions import Database
from service.core.monthly_hires import Month, latest_months
from service.core.reads import sizes
from service.core.reads.sizes import size_of
from service.core.settings import Settings
from service.core.tables import by_path
from service.web.console.pages.overview import age_of
from tests.conftest import calling
from tests.support.console import HTML, load
from tests.support.hires import add_parents, hire

JOBS = by_path("jobs")


async def shown(client: httpx.AsyncClient, **options: object) -> str:
    """The text of the overview, without tags."""
    reply = await client.get("/", headers=HTML, **options)  # type: ignore[arg-type]
    assert reply.status_code == 200
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", reply.text.partition("<main")[2]))


async def add_hires(database: Database, *moments: str) -> None:
    rows = [("Ana", moment, 1, 1) for moment in moments]
    async with database.transaction() as transaction:
        await transaction.insert(by_path("employees").sql["insert"], rows)


async def test_an_empty_service_says_what_to_do_first(
    several: Settings, database: Database, tmp_path: Path
) -> None:
    own = msgspec.structs.replace(several, backup_dir=tmp_path)
    async with calling(own) as client:
        operator = await shown(client)
        assert "Load files : drop the CSV files" in operator
        assert "make a backup" in operator
        assert "None yet. Make one" in operator
        writer = await shown(client, auth=httpx.BasicAuth("reader-writer", "reader-writer"))
        assert ("Load files : drop" in writer, "make a backup" in writer) == (True, False)
        reader = await shown(client, auth=httpx.BasicAuth("reader", "reader"))
        assert "Ask a user with the role writer" in reader
        assert ("Load files" in reader, "Last backup" in reader) == (False, False)
        assert several.mysql_host is None or f"{several.servers[0][0]}:" not in reader


async def test_the_overview_has_the_facts_of_the_day(
    client: httpx.AsyncClient, database: Database
) -> None:
    await add_parents(database, range(1, 4))
    await client.post("/employees", json=[hire(datetime="2021-03-05T10:00:00Z"), hire(name="")])
    await load(client, "jobs.csv", b"id,job\n9,Clerk\n", "jobs")
    await client.post("/avro/backup?table=jobs")
    text = await shown(client)
    assert "3 departments" in text
    assert "4 jobs" in text
    assert "1 open rejects" in text
    assert "blank 1" in text
    assert re.search(r"2021-03 1 ", text)
    assert "less than a minute ago" in text
    assert "The tables are empty" not in text
    assert re.search(r"(MySQL|MariaDB|seekdb|OceanBase) \d[^ ]* .*takes writes", text)
    assert "Load jobs.csv into jobs" in text


async def test_months_without_hires_are_left_out_and_the_latest_are_shown(
    database: Database,
) -> None:
    await add_parents(database, range(1, 2))
    moments = [f"{year}-{month:02}-28" for year in (1000, 2020, 2021) for month in range(1, 13)]
    await add_hires(database, *moments, "2021-02-01", "2021-01-31 23:59:59.999999", "9999-12-31")
    months = await latest_months(database.fetch)
    assert [month.name for month in months] == [
        "2021-02", "2021-03", "2021-04", "2021-05", "2021-06", "2021-07", "2021-08", "2021-09",
        "2021-10", "2021-11", "2021-12", "9999-12",
    ]  # fmt: skip
    assert [month.hired for month in months] == [2, *[1] * 11]


async def test_the_first_month_has_no_month_before_it(database: Database) -> None:
    assert await latest_months(database.fetch) == []
    await add_parents(database, range(1, 2))
    await add_hires(database, "1000-01-01", "1000-02-28 12:00:00")
    assert await latest_months(database.fetch) == [Month(1000, 1, 1), Month(1000, 2, 1)]


async def test_counting_stops_when_the_months_have_enough_hires(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(monthly_hires, "COUNTED", 3)
    await add_parents(database, range(1, 2))
    await add_hires(database, *["2021-01-05"] * 5, "2021-02-05", "2021-02-06", "2021-03-05")
    assert [month.hired for month in await latest_months(database.fetch)] == [2, 1]


@pytest.mark.parametrize(("rows", "text"), [(0, "0"), (9, "9"), (10, "10")])
async def test_a_small_table_is_counted(
    database: Database, monkeypatch: pytest.MonkeyPatch, rows: int, text: str
) -> None:
    monkeypatch.setattr(sizes, "EXACT", 10)
    await add_parents(database, range(1, rows + 1))
    assert str(await size_of(database.fetch, JOBS)) == text


async def test_a_large_table_is_estimated(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sizes, "EXACT", 10)
    await add_parents(database, range(1, 12))
    size = await size_of(database.fetch, JOBS)
    assert not size.exact
    assert re.fullmatch(r"over 10|about \d+", str(size))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (5, "less than a minute ago"),
        (60, "1 minute ago"),
        (7199, "1 hour ago"),
        (2 * 86_400, "2 days ago"),
        (-60, "less than a minute ago"),
    ],
)
def test_an_age_has_one_unit(seconds: int, text: str) -> None:
    moment = datetime.now(UTC) - timedelta(seconds=seconds + 0.5)
    assert age_of(moment.isoformat()) == text


async def test_the_servers_are_asked_while_the_facts_are_counted(
    client: httpx.AsyncClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    met = asyncio.Barrier(2)

    async def meet() -> None:
        async with asyncio.timeout(5):
            await met.wait()

    async def asking(*args: Any) -> Any:
        await meet()
        return await health_of_servers(*args)

    async def counting(*args: Any) -> Any:
        await meet()
        return await latest_months(*args)

    monkeypatch.setattr("service.web.console.pages.overview.health_of_servers", asking)
    monkeypatch.setattr("service.web.console.pages.overview.latest_months", counting)
    await shown(client)
