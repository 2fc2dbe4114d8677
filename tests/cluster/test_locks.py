"""On clusters, a lock on one node binds no other node, so the servers check each row's parents."""

from __future__ import annotations

import msgspec
import pytest

from service.core.database.connect import connect
from service.core.database.migrations import migrate
from service.core.database.statements import Transaction
from service.core.rules import batch
from service.core.tables import by_path
from service.core.writes.parents import LOCKED_ROWS, check_parents
from tests.support.clusters import Cluster
from tests.support.hires import add_parents, hire

pytestmark = [pytest.mark.cluster, pytest.mark.short, pytest.mark.timeout(300)]


async def test_a_cluster_checks_the_parents_of_each_row(cluster: Cluster) -> None:
    body = msgspec.json.encode([hire() for _ in range(LOCKED_ROWS)])
    validated = batch.from_json(by_path("employees"), body)

    async def check(transaction: Transaction) -> None:
        await check_parents(transaction, validated)

    async with connect(cluster.settings) as database:
        await migrate(database)
        await add_parents(database, range(1, 2))
        await database.run(check)
    assert validated.rejects == []
    assert not validated.parents_locked
