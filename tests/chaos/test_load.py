"""Sustained load for a long time, and overload."""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections.abc import AsyncIterator, Callable

import pytest

from service.core.database.transactions import Database
from tests.support.load import (
    SUCCESS,
    batch,
    flooded,
    p99,
    paced,
    percentile,
    report,
    request,
    started,
)
from tests.support.processes import resident
from tests.support.program import Service
from tests.support.servers import Server
from tests.support.sizes import sized

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1200)]
MEASURED_SECONDS = sized(short=6, full=10)
SOAK_SECONDS = sized(short=12, full=600)
WARM_SECONDS = sized(short=5, full=60)
FLOOD_SECONDS = sized(short=12, full=90)
ACCEPTED = {*SUCCESS, 422}
CLIENTS = os.cpu_count() or 1
PACED = 0.8
"""The part of the sustainable rate at which the soak sends."""
KEPT = sized(short=0.5, full=0.9)
"""The part of that pace that must be reached. A neighbour of the machine can slow a short run."""
LIGHT = 30
"""Requests a second that leave the processors idle most of the time."""
SLOWER = 3
"""Accepted batches may take this many times as long as without load."""
HELD = sized(short=90, full=99)
"""The percentile that must keep that limit. A short run has too few replies for the 99th."""
EMBEDDED_MS = 2000
"""The limit on seekdb, which merges data on the same cores at any time and delays all work."""


@pytest.fixture
async def service(server: Server, stocked: Database) -> AsyncIterator[Service]:
    service = await started(server.settings)
    yield service
    assert (await service.end()).code == 0


async def sustainable(service: Service, make: Callable[[int], bytes], statuses: set[int]) -> float:
    """The requests per second that one client for each core achieves."""
    before = time.perf_counter()
    found = await paced(service.port, make, math.inf, MEASURED_SECONDS, CLIENTS)
    assert {reply.status for reply in found} <= statuses
    return len(found) / (time.perf_counter() - before)


def soaked(number: int) -> bytes:
    """The same requests with other keys."""
    return mixed(number + 1_000_000)


def mixed(number: int) -> bytes:
    """Mostly batches, half of them with keys; sometimes a page or a report."""
    if number % 10 == 8:
        return request("GET", f"/employees?after={number}&limit=100")
    if number % 500 == 9:
        return request("GET", "/reports/hires-by-quarter?year=2021")
    key = {"idempotency_key": f"soak {number}"} if number % 2 else {}
    hired = f"{1990 + number % 35}-03-04T05:06:07Z"
    body = batch(100, department_id=number % 13, datetime=hired)
    return request("POST", "/employees", body, **key)


async def test_memory_does_not_grow(service: Service) -> None:
    full = await sustainable(service, mixed, ACCEPTED)
    soak = asyncio.create_task(paced(service.port, soaked, PACED * full, SOAK_SECONDS))
    await asyncio.sleep(WARM_SECONDS)
    early = resident(service.pid)
    replies = await soak
    grown = resident(service.pid) - early
    rate = len(replies) / SOAK_SECONDS
    report("soak", sustainable=full, rate=rate, p99_ms=p99(replies), grown_mib=grown)
    assert rate > KEPT * PACED * full
    assert {reply.status for reply in replies} <= ACCEPTED
    assert grown <= 10


@pytest.mark.parametrize("rows", [100, sized(short=300, full=1000)])
async def test_accepted_batches_stay_fast_under_four_times_the_load(
    service: Service, server: Server, rows: int
) -> None:
    """Both phases take the same time, so that pauses of the server affect both."""
    message = request("POST", "/employees", batch(rows))
    full = await sustainable(service, lambda _: message, {201})
    light = await paced(service.port, lambda _: message, LIGHT, FLOOD_SECONDS, 1)
    flood = await flooded(service.port, message, 4 * full, FLOOD_SECONDS)
    accepted = [reply for reply in flood if reply.status == 201]
    shed = [reply for reply in flood if reply.sheds]
    report(
        f"overload, batches of {rows}",
        sustainable=full,
        sent=len(flood),
        accepted=len(accepted),
        p99_light_ms=p99(light),
        p99_accepted_ms=p99(accepted),
        p99_shed_ms=p99(shed),
        factor_p99=p99(accepted) / p99(light),
        factor_p90=percentile(accepted, 90) / percentile(light, 90),
    )
    assert {reply.status for reply in light} == {201}
    assert len(accepted) + len(shed) == len(flood)
    assert len(shed) > len(flood) / 2
    bound = EMBEDDED_MS if server.settings.embedded else SLOWER * percentile(light, HELD)
    assert percentile(accepted, HELD) <= bound
