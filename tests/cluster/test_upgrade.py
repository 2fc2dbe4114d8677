"""Clusters are upgraded from released versions, which serve meanwhile."""

from __future__ import annotations

import pytest

import sql
from service.core.database.connect import connect
from service.core.database.migrations import migrate
from tests.support import engine
from tests.support.clusters import Cluster
from tests.support.released_work import ADDED, counts, migrated_at_work
from tests.support.releases import RELEASES, Release, rows_of

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.short,
    pytest.mark.timeout(300),
    pytest.mark.parametrize("release", RELEASES, ids=lambda release: release.version),
]


async def test_an_upgraded_cluster_equals_a_new_one(cluster: Cluster, release: Release) -> None:
    async with connect(cluster.settings) as database:
        await release.create(database)
        await release.insert(database)
        before = await rows_of(database)
        await migrate(database)
        after, upgraded = await rows_of(database), await engine.definitions_without_ids(database)
    assert {name: after[name] for name in before} == before
    await cluster.empty()
    async with connect(cluster.settings) as database:
        assert len(await migrate(database)) == len(sql.migrations())
        assert await engine.definitions_without_ids(database) == upgraded


async def test_a_released_version_works_while_the_tables_of_a_cluster_change(
    cluster: Cluster, release: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with connect(cluster.settings) as database:
        await release.create(database)
        await release.insert(database)
        before = await counts(database)
        work = await migrated_at_work(cluster.settings, release, monkeypatch)
        assert await counts(database) == {
            name: before[name] + work.rounds * added for name, added in ADDED.items()
        }
