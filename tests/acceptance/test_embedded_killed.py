"""The embedded database is killed with -9 under the service, which starts it again by itself."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from service.core.database.connect import connect
from service.core.database.statements import SQL, Row, Transaction
from service.core.settings import Settings
from tests.support.processes import kill_servers_of, servers_of
from tests.support.program import Service
from tests.support.waiting import until

PASSWORD = "killed-password"
RESTART_SECONDS = 20
"""seekdb starts in 3 s on an idle machine."""


@pytest.mark.parametrize("workers", [1, 2])
async def test_it_is_started_again_each_time_it_is_killed(tmp_path: Path, workers: int) -> None:
    folder = tmp_path / "seekdb"
    service = await Service.started(
        *("--workers", str(workers)), EMBEDDED_DIR=str(folder), API_PASS=PASSWORD
    )
    async with service.client("admin", PASSWORD) as client:
        for number in (1, 2):
            assert (await client.post("/jobs", json={"job": f"{number}"})).status_code == 201
            kill_servers_of(folder)
            assert await _readiness(service) == [503, 200]
            assert (await client.get("/health/live")).status_code == 200
            rows = (await client.get("/jobs")).json()["rows"]
            assert [row["job"] for row in rows] == [f"{at}" for at in range(1, number + 1)]
    finished = await service.end()
    assert (finished.code, "Traceback" in finished.err) == (0, False)
    assert "runs again" in finished.err
    await until(lambda: _no_server(folder), 10)


async def _readiness(service: Service) -> list[int]:
    """The statuses of the probe, each change once, until it is 200; other requests continue."""
    seen, end = [503], time.monotonic() + RESTART_SECONDS
    while seen[-1] != 200 and time.monotonic() < end:
        async with service.client("admin", PASSWORD) as client:
            replies = await asyncio.gather(
                client.get("/health/ready"), client.get("/jobs"), client.get("/departments")
            )
        assert {reply.status_code for reply in replies} <= {200, 503}
        if replies[0].status_code != seen[-1]:
            seen.append(replies[0].status_code)
        await asyncio.sleep(0.1)
    return seen


async def _no_server(folder: Path) -> bool:
    return not servers_of(folder)


async def test_it_is_started_again_if_it_is_killed_during_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "seekdb"
    fetch, killed = Transaction.fetch, list[str]()

    async def killing(self: Transaction, statement: str, parameters: Any = ()) -> list[Row]:
        if statement == SQL["has_database"] and not killed:
            kill_servers_of(folder)
            killed.append(statement)
        return await fetch(self, statement, parameters)

    monkeypatch.setattr(Transaction, "fetch", killing)
    async with connect(Settings(embedded_dir=folder)) as database:
        assert await database.fetch("SELECT 1") == [(1,)]
    assert killed
    await until(lambda: _no_server(folder), 10)
