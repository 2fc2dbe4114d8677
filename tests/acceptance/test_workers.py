"""Several workers: each of them reports the metrics of all."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from service.core.settings import Settings
from tests.integration.traffic.test_request_log import figures
from tests.support import engine
from tests.support.program import ROOT, Service

ROWS = 'hirebase_rows_inserted_total{table="jobs"}'
LOADED = 'hirebase_loader_rows_total{outcome="added",table="departments"}'


@pytest.fixture
async def two(scratch: Settings, tmp_path: Path) -> AsyncIterator[Service]:
    """Two workers, after a load."""
    variables = engine.environment(scratch) | {
        "TMPDIR": str(tmp_path),
        "DATA_DIR": str(ROOT / "loader" / "sample"),
        "REJECTS_DIR": str(tmp_path / "rejects"),
    }
    del variables["API_PORT"]
    service = await Service.started("--load", "--workers", "2", **variables)
    yield service
    await service.end()


async def scraped(service: Service, settings: Settings) -> list[dict[str, float]]:
    """The metrics, requested so often that every worker replies."""

    async def ask() -> dict[str, float]:
        async with service.client(settings.api_user, settings.api_pass) as client:
            return await figures(client)

    return [await ask() for _ in range(12)]


def counting(folder: Path) -> set[int]:
    """The processes that have served requests."""
    return {int(path.stem.rpartition("_")[2]) for path in folder.glob("*/histogram_*.db")}


def folders(folder: Path) -> list[Path]:
    """The folders in which the workers count."""
    return list(folder.glob("hirebase-*"))


async def post_until_both_have_work(service: Service, settings: Settings, folder: Path) -> int:
    """The rows that were posted, each over a separate connection."""

    async def post() -> None:
        async with service.client(settings.api_user, settings.api_pass) as client:
            assert (await client.post("/jobs", json={"job": "x"})).status_code == 201

    posted = 0
    while posted < 20 or len(counting(folder)) < 2:
        await asyncio.gather(*(post() for _ in range(4)))
        posted += 4
    return posted


async def test_metrics_are_the_sum_over_the_workers(
    two: Service, scratch: Settings, tmp_path: Path
) -> None:
    posted = await post_until_both_have_work(two, scratch, tmp_path)
    for one in await scraped(two, scratch):
        assert (one[ROWS], one[LOADED]) == (posted, 12)
        assert one["hirebase_pool_connections"] >= 2
    os.kill(min(counting(tmp_path)), signal.SIGKILL)
    await asyncio.sleep(2)
    await two._answer()
    assert {one[ROWS] for one in await scraped(two, scratch)} == {posted}
    assert (await two.end()).code == 0
    assert folders(tmp_path) == []
