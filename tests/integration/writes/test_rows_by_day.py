"""The rows that were added today, by source and user; no write waits for it or fails for it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from service.core.database.transactions import Database
from service.core.errors import UnavailableError
from service.core.settings import Settings
from service.core.tables import by_path
from service.core.writes import rows_by_day
from service.core.writes.rows_by_day import RowCounts, counting_rows, rows_of_today
from tests.conftest import USER, calling
from tests.support.console import load
from tests.support.waiting import until

JOBS = by_path("jobs")


@pytest.fixture(autouse=True)
def no_midnight(monkeypatch: pytest.MonkeyPatch) -> None:
    """The day of the beginning of the test, until its end."""
    day = rows_by_day._today()
    monkeypatch.setattr(rows_by_day, "_today", lambda: day)


async def today(database: Database) -> set[tuple[str, str, str, int]]:
    """(source, user, table, rows) of today."""
    rows = await rows_of_today(database.fetch)
    return {(one.source, one.user, one.table, one.added) for one in rows}


async def test_every_way_in_is_counted_by_user(migrated: Settings, database: Database) -> None:
    async with calling(migrated) as client:
        await client.post("/jobs", json=[{"job": "A"}, {"job": "B"}, {"job": ""}])
        await client.post("/jobs?dry_run=true", json={"job": "C"})
        key = {"Idempotency-Key": "one"}
        for _ in range(2):
            await client.post("/jobs", json={"job": "C"}, headers=key)
        await load(client, "jobs.csv", b"11,D\n12,E\n13,\n", "jobs")
        await load(client, "jobs.ndjson", b'{"job": "F"}\n{}\n', "jobs")
        (first, *_) = (await client.get("/rejects?source=api")).json()["rows"]
        await client.post(f"/rejects/{first['id']}/correction", json={"job": "G"})
        backup = (await client.get("/avro/backup/jobs")).content
        await client.delete("/jobs/11")
        await client.post("/avro/restore/jobs?dry_run=true", content=backup)
        await client.post("/avro/restore/jobs", content=backup)
    assert await today(database) == {
        ("api", USER, "jobs", 4),
        ("console", USER, "jobs", 3),
        ("restore", USER, "jobs", 1),
    }


async def test_counts_of_several_processes_add_up(database: Database) -> None:
    async with counting_rows(database) as one, counting_rows(database) as other:
        for counts in (one, other):
            counts.add("loader", "", JOBS, 5)
            counts.add("api", "x" * 300, JOBS, 2)
            counts.add("api", "nobody", JOBS, 0)
        await asyncio.gather(one.flush(), other.flush())
        one.add("loader", "", JOBS, 1)
    assert await today(database) == {("loader", "", "jobs", 11), ("api", "x" * 255, "jobs", 4)}


async def test_counts_that_cannot_be_written_wait_and_harm_no_one(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, away, tries = Database.run, [True], []

    async def failing(self: Database, *work: Any, **options: Any) -> Any:
        if away:
            tries.append(work)
            raise UnavailableError("No database answers.")
        return await run(self, *work, **options)

    async def was_tried() -> bool:
        return len(tries) > 1

    async def is_counted() -> bool:
        return await today(database) == {("loader", "", "jobs", 6)}

    monkeypatch.setattr(rows_by_day, "FLUSH_SECONDS", 0.05)
    monkeypatch.setattr(Database, "run", failing)
    async with counting_rows(database) as counts:
        counts.add("loader", "", JOBS, 5)
        await until(was_tried, 10)
        counts.add("loader", "", JOBS, 1)
        assert await today(database) == set()
        away.clear()
        await until(is_counted, 10)


async def test_yesterday_is_not_today(database: Database) -> None:
    counts = RowCounts(database)
    counts.add("loader", "", JOBS, 5)
    await counts.flush()
    async with database.transaction() as transaction:
        await transaction.execute("UPDATE rows_by_day SET day = DATE_SUB(day, INTERVAL 1 DAY)")
    assert await rows_of_today(database.fetch) == []
