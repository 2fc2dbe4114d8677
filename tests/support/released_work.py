"""A released version at work: the statements that it sends, one round after the other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from itertools import count as count_up
from typing import Any

import pytest

import sql
from service.core.database.connect import connect
from service.core.database.migrations import migrate
from service.core.database.statements import Transaction
from service.core.database.transactions import Database
from service.core.settings import Settings
from tests.support.hires import count
from tests.support.releases import Release
from tests.support.waiting import until

WORKERS = 3
LIMIT_SECONDS = 60
MOMENT = "2021-07-27T16:02:08.000001"
YEAR = ("2021-01-01", "2021-12-31T23:59:59.999999")
ADDED = {"departments": 1, "jobs": 1, "hired_employees": 1, "rejects": 1, "idempotency_keys": 1}
"""The rows that one round adds to each table."""
Call = tuple[str, tuple[Any, ...]]


def round_of(number: int) -> list[Call]:
    """What one round sends: names of statements, and their values."""
    # A negative id is never generated, and does not move the next one.
    key, own = f"{number:064}", -1 - number
    reject = ("csv", "jobs.csv", key, "jobs")
    return [
        ("departments.insert", (f"Department {number}",)),
        ("jobs.insert", (f"Job {number}",)),
        ("hired_employees.insert", (f"Ana {number}", MOMENT, 1, 1)),
        ("hired_employees.insert_with_id", (own, "Ben", MOMENT, 1, 1)),
        ("hired_employees.replace", (own, "Ben B.", MOMENT, 2, 2)),
        ("hired_employees.find", (own,)),
        ("hired_employees.delete", (own,)),
        ("hired_employees.page", (0, 100)),
        ("hired_employees.checksum", (0, 1000)),
        ("hired_employees.backup_page", (0, 100)),
        ("rejects.insert", (*reject, 1, "x", "[]")),
        ("rejects.insert", (*reject, 2, "y", "[]")),
        ("loads.rejects_between", (key, 0, 9)),
        ("loads.forget_rejects", (key, 1)),
        ("rejects.page", (0, None, None, None, None, 100)),
        ("rejects.latest", (1 << 60, None, None, None, None, None, None, 100)),
        ("idempotency_keys.insert", (key, key, "etl", "/jobs", "k", 201, "{}", 24)),
        ("idempotency_keys.find", (key,)),
        ("loads.claim", (key, 0, 9, 1, 2, "jobs.csv", key)),
        ("loads.settle", (1, 1, 0, 0, 0, 1, 1, 1, key, 0)),
        ("loads.forget", (key,)),
        ("reports.hires_by_quarter", YEAR),
        ("reports.departments_above_mean", YEAR),
    ]


class AtWork:
    """Workers that send rounds until they are stopped. rounds: those that were committed."""

    def __init__(self, database: Database, release: Release):
        self._database, self._statements = database, release.statements
        self._numbers = count_up()
        self.is_stopping = False
        self.rounds = 0

    async def send(self) -> None:
        """One round after the other, each in a transaction; an error ends it."""
        while not self.is_stopping:
            await self._database.run(partial(self._send, round_of(next(self._numbers))))
            self.rounds += 1

    async def _send(self, calls: list[Call], transaction: Transaction) -> None:
        for name, values in calls:
            await transaction.fetch(self._statements[name], values)

    async def more(self) -> None:
        """Wait until each worker has sent a whole round from now on."""
        goal = self.rounds + 2 * WORKERS

        async def is_reached() -> bool:
            return self.rounds >= goal

        await until(is_reached, LIMIT_SECONDS)


@asynccontextmanager
async def at_work(database: Database, release: Release) -> AsyncIterator[AtWork]:
    """A released version at work on its tables; raises the first error that it gets."""
    work = AtWork(database, release)
    async with asyncio.TaskGroup() as group:
        for _ in range(WORKERS):
            group.create_task(work.send())
        try:
            yield work
        finally:
            work.is_stopping = True


async def migrated_at_work(
    settings: Settings, release: Release, monkeypatch: pytest.MonkeyPatch
) -> AtWork:
    """Migrate while the release is at work, one migration after the other, with work between."""
    every, released = sql.migrations(), sql.migrations(release.folder / "sql")
    async with connect(settings) as old, connect(settings) as new, at_work(old, release) as work:
        for version, name, _ in every[len(released) :]:
            await work.more()
            monkeypatch.setattr(sql, "migrations", partial(every.__getitem__, slice(version)))
            assert await migrate(new) == [f"{version:04} {name}"]
        await work.more()
    monkeypatch.undo()
    return work


async def counts(database: Database) -> dict[str, int]:
    """The number of rows in each table to which a round adds some."""
    return {name: await count(database, name) for name in ADDED}
