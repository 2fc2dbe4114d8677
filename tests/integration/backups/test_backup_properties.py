"""A restored backup equals any valid rows, in any time zone of the process."""

from __future__ import annotations

import asyncio
import io
import os
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.core.backups import backup
from service.core.backups.format.codecs import CODECS
from service.core.backups.restore import restore
from service.core.backups.sources import opened
from service.core.database import transactions as databases
from service.core.database.connect import connect
from service.core.rules.fields import MAX_ID
from service.core.settings import Settings
from service.core.tables import TABLES
from tests.support.backup_files import DEPARTMENTS, EMPLOYEES, JOBS

ZONES = ["UTC", "America/New_York", "Asia/Kolkata", "Pacific/Apia", "Europe/Dublin"]
TEXT = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=255).filter(
    str.strip
)
IDS = st.integers(1, MAX_ID // 2)
MOMENTS = st.datetimes(datetime(1000, 1, 1)).map(datetime.isoformat)  # noqa: DTZ001 - in UTC


@pytest.fixture(params=ZONES)
def zone(request: pytest.FixtureRequest) -> Iterator[str]:
    """This process in a time zone."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = request.param
    time.tzset()
    yield request.param
    os.environ.pop("TZ") if before is None else os.environ.update(TZ=before)
    time.tzset()


@st.composite
def tables(draw: st.DrawFn) -> dict[str, list[tuple[Any, ...]]]:
    """Rows of all tables, hires only where there are parents."""
    named = st.dictionaries(IDS, TEXT, max_size=4).map(lambda rows: sorted(rows.items()))
    departments, jobs = draw(named), draw(named)
    hires: list[tuple[Any, ...]] = []
    if departments and jobs:
        parents = [st.sampled_from([key for key, _ in rows]) for rows in (departments, jobs)]
        hire = st.tuples(IDS, TEXT, MOMENTS, *parents)
        hires = sorted(draw(st.lists(hire, max_size=6, unique_by=lambda row: row[0])))
    return {DEPARTMENTS.name: departments, JOBS.name: jobs, EMPLOYEES.name: hires}


def test_any_rows_are_read_as_they_were_inserted(migrated: Settings, zone: str) -> None:
    @settings(
        max_examples=12,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(first=tables(), second=tables(), codec=st.sampled_from(CODECS))
    def holds(first: Any, second: Any, codec: Any) -> None:
        asyncio.run(_round_trip(migrated, first, second, codec))

    holds()


async def _round_trip(migrated: Settings, first: Any, second: Any, codec: Any) -> None:
    """Back up the first rows, replace them by the second, restore."""
    async with connect(migrated) as database:
        await _write(database, first)
        before = await _read(database)
        stream = backup.stream_all(database, codec)
        content = b"".join([piece async for piece in stream])
        await _write(database, second)
        async with opened(io.BytesIO(content)) as sources:
            done = await restore(database, sources, "replace")
        assert all(one.verified for one in done)
        assert await _read(database) == before
        assert {name: len(rows) for name, rows in before.items()} == {
            name: len(rows) for name, rows in first.items()
        }


async def _write(database: databases.Database, rows: dict[str, Any]) -> None:
    async with database.transaction() as transaction:
        for table in reversed(TABLES):
            await transaction.execute(f"DELETE FROM {table.name}")
        for table in TABLES:
            if rows[table.name]:
                await transaction.insert(table.sql["insert_with_id"], rows[table.name])


async def _read(database: databases.Database) -> dict[str, list[Any]]:
    return {
        table.name: await database.fetch(f"SELECT * FROM {table.name} ORDER BY id")
        for table in TABLES
    }
