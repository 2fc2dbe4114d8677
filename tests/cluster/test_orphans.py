"""Parents that another node deletes while large batches and a load are written: no orphan stays."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

from loader.loading.pipeline import load
from loader.options import Options
from service.core.backups.staged import choice
from service.core.backups.staged.staging import Staging
from service.core.database.connect import connect
from service.core.database.migrations import migrate
from service.core.database.transactions import Database
from service.core.errors import ContentionError, OrphansError, StaleParentError, UnavailableError
from service.core.rules import batch
from service.core.rules.batch import MAX_ROWS
from service.core.settings import Settings
from service.core.tables import by_path
from service.core.writes.ingest import ingest
from service.core.writes.rejects import RejectOrigin
from tests.cluster.loaded import in_turn
from tests.support.backup_files import EMPLOYEES, records
from tests.support.clusters import NODES, Cluster
from tests.support.hires import add_parents, hire
from tests.support.orphans import ORPHANS, PARENTS, REMOVE, delete_parents, write_hires
from tests.support.restores import put
from tests.support.sizes import sized
from tests.support.waiting import until

pytestmark = [pytest.mark.cluster, pytest.mark.short, pytest.mark.timeout(600)]
SECONDS = sized(short=5, full=60)
LOADED = sized(short=20_000, full=200_000)
SECONDS_OPEN = 40
APPLIED_SECONDS = 60
"""A node applies the rows of another one a little later."""
USE = "USE hirebase"
COUNT = (USE, "SELECT COUNT(*) FROM hired_employees")
RETRIED = (ContentionError, StaleParentError, UnavailableError)


async def write(database: Database, stop: asyncio.Event, outcomes: Counter[str]) -> None:
    """Large batches, one after the other."""
    rows = [hire(name=f"{at}", department_id=1 + at % PARENTS) for at in range(MAX_ROWS)]
    validated = batch.from_json(by_path("employees"), msgspec.json.encode(rows))
    while not stop.is_set():
        try:
            verdict = await database.run(
                lambda transaction: ingest(transaction, validated, RejectOrigin("api", "test"))
            )
        except RETRIED:
            outcomes["refused"] += 1
        else:
            outcomes["complete" if verdict.inserted == MAX_ROWS else "with rejects"] += 1
            outcomes["written"] += verdict.inserted


async def load_file(settings: Settings, folder: Path) -> int:
    """Load hires; the number of rows that were added."""
    file = write_hires(folder, LOADED)
    async with connect(settings) as database:
        (summary,) = await load(database, Options(folder, folder, files=(str(file),)))
    return summary.counts.added


async def test_no_orphan_stays_when_parents_are_deleted_on_another_node(
    cluster: Cluster, tmp_path: Path
) -> None:
    here, there = in_turn(cluster.settings, 2)
    outcomes: Counter[str] = Counter()
    stop = asyncio.Event()
    async with connect(here) as writer, connect(there) as deleter:
        await migrate(writer)
        await add_parents(writer, range(1, PARENTS + 1))
        asyncio.get_running_loop().call_later(SECONDS, stop.set)
        loading = asyncio.create_task(load_file(here, tmp_path))
        await asyncio.gather(
            delete_parents(deleter, stop, outcomes),
            *(write(writer, stop, outcomes) for _ in range(2)),
        )
        loaded = await loading
    assert outcomes["deleted"]
    assert outcomes["complete"]
    assert loaded
    stored = outcomes["written"] + loaded - outcomes["hires"]
    for node in NODES:

        async def has_all_rows(node: int = node) -> bool:
            return await cluster.sql(node, *COUNT, seconds=60) == [(stored,)]

        await until(has_all_rows, APPLIED_SECONDS)
        assert await cluster.sql(node, USE, ORPHANS, seconds=60) == [(0,)]


async def test_a_restore_leaves_no_orphan_when_another_node_deletes_a_parent(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The deletion began before the foreign keys. Either it fails at its COMMIT, or the restore."""
    monkeypatch.setattr(choice, "LARGE_ROWS", 1)
    here, there = in_turn(cluster.settings, 2)
    add_foreign_keys = Staging.add_foreign_keys
    rows = [{**row, "department_id": PARENTS} for row in records(EMPLOYEES, 60)]
    async with connect(here) as restoring, connect(there) as deleter:
        await migrate(restoring)
        await add_parents(restoring, range(1, PARENTS + 1))
        with suppress(*RETRIED):
            async with deleter.transaction(SECONDS_OPEN) as other:

                async def delete_meanwhile(*arguments: Any) -> None:
                    await other.execute(REMOVE, (PARENTS,))
                    await add_foreign_keys(*arguments)

                monkeypatch.setattr(Staging, "add_foreign_keys", delete_meanwhile)
                running = asyncio.create_task(put(restoring, (EMPLOYEES, rows)))
                await asyncio.wait([running], timeout=SECONDS_OPEN / 4)
        with suppress(OrphansError):
            await running
    for node in NODES:
        assert await cluster.sql(node, USE, ORPHANS, seconds=60) == [(0,)]
