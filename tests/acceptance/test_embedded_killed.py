"""The embedded database is killed with -9 under the service: it is back without a restart."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

import pytest

from tests.acceptance.test_embedded import server_of
from tests.support.program import Service, servers_of

PASSWORD = "killed-password"
BACK_SECONDS = 20
"""seekdb needs 3 s to start where there is nothing else to do."""


@pytest.mark.parametrize("workers", [1, 2])
async def test_it_is_back_by_itself_as_often_as_it_is_killed(tmp_path: Path, workers: int) -> None:
    folder = tmp_path / "seekdb"
    service = await Service.started(
        *("--workers", str(workers)), EMBEDDED_DIR=str(folder), API_PASS=PASSWORD
    )
    async with service.client("admin", PASSWORD) as client:
        for number in (1, 2):
            assert (await client.post("/jobs", json={"job": f"{number}"})).status_code == 201
            os.kill(int(server_of(folder).name), signal.SIGKILL)
            assert await _readiness(service) == [503, 200]
            assert (await client.get("/health/live")).status_code == 200
            rows = (await client.get("/jobs")).json()["rows"]
            assert [row["job"] for row in rows] == [f"{at}" for at in range(1, number + 1)]
    ended = await service.end()
    assert (ended.code, "Traceback" in ended.err) == (0, False)
    assert "runs again" in ended.err
    assert await _none_left(folder)


async def _readiness(service: Service) -> list[int]:
    """What the probe answers, each once, until it is content; other requests keep coming."""
    seen, end = [503], time.monotonic() + BACK_SECONDS
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


async def _none_left(folder: Path) -> bool:
    for _ in range(100):
        if not servers_of(folder):
            return True
        await asyncio.sleep(0.1)
    return False
