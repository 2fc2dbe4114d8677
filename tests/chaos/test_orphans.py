"""Parents that are deleted while a service and a loader write many rows: no orphan stays."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import msgspec
import pytest

from service.core.database.transactions import Database
from service.core.rules.batch import MAX_ROWS
from tests.support import engine, program
from tests.support.hires import count, hire
from tests.support.load import SUCCESS, paced, report, request, started
from tests.support.orphans import ORPHANS, PARENTS, delete_parents, write_hires
from tests.support.servers import Server
from tests.support.sizes import sized

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1200)]
SECONDS = sized(short=8, full=120)
LOADED = sized(short=40_000, full=1_000_000)


def posted() -> bytes:
    rows = [hire(name=f"{at}", department_id=1 + at % PARENTS) for at in range(MAX_ROWS)]
    return request("POST", "/employees", msgspec.json.encode(rows))


async def load(server: Server, folder: Path) -> int:
    """Load hires with the loader's own process; the number of rows that were added."""
    file = write_hires(folder, LOADED)
    options = ("--json", "--rejects-dir", str(folder / "rejects"), str(file))
    ended = await program.run("loader", *options, **engine.environment(server.settings))
    assert ended.code == 0, ended.err
    (summary,) = msgspec.json.decode(ended.out)
    added: int = summary["added"]
    return added


async def test_no_orphan_stays_when_parents_are_deleted(
    server: Server, stocked: Database, tmp_path: Path
) -> None:
    service = await started(server.settings)
    outcomes: Counter[str] = Counter()
    stop, message = asyncio.Event(), posted()
    deleting = asyncio.create_task(delete_parents(stocked, stop, outcomes))
    posting = paced(service.port, lambda _: message, float("inf"), SECONDS, 3)
    replies, loaded = await asyncio.gather(posting, load(server, tmp_path))
    stop.set()
    await deleting
    assert (await service.end()).code == 0
    verdicts = [msgspec.json.decode(one.body) for one in replies if one.status in SUCCESS]
    written = sum(one["inserted"] for one in verdicts)
    report("parents deleted under load", batches=len(verdicts), loaded=loaded, **outcomes)
    assert await stocked.fetch(ORPHANS) == [(0,)]
    assert await count(stocked, "hired_employees") == written + loaded - outcomes["hires"]
    assert {reply.status for reply in replies} <= {*SUCCESS, 422, 503}
    assert outcomes["deleted"]
    assert written
    assert loaded
