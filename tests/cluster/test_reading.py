"""Reads beside the writer: backups and reports run on a replica that shows all committed rows."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import msgspec
import pymysql
import pytest

from service.core.backups import pages as paging
from service.core.backups.backup_store import BackupStore, Saved
from service.core.backups.sources import opened, readers
from service.core.database.connect import connect
from service.core.database.migrations import migrate
from service.core.database.replication.positions import position_of
from service.core.database.replication.replicas import Replicas, replicas
from service.core.database.transactions import Database
from service.core.errors import UnavailableError
from service.core.rules.avro_records import validate
from service.core.settings import Settings
from service.core.threads import in_thread
from tests.support.backup_files import DEPARTMENTS, JOBS
from tests.support.clusters import NODES, Cluster
from tests.support.serving import serving
from tests.support.waiting import until

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]
SOON = 10
"""Seconds until another server is read."""


async def settings_of(cluster: Cluster) -> Settings:
    """Settings with the writer, and with the other nodes as replicas."""
    writer = await cluster.writer()
    others = [n for n in NODES if n != writer]
    return msgspec.structs.replace(
        cluster.settings,
        mysql_host=cluster.address(writer),
        mysql_read_host=",".join(map(cluster.address, others)),
        api_user="admin",
        api_pass="test-password",
    )


@asynccontextmanager
async def reading(settings: Settings) -> AsyncIterator[Replicas]:
    async with connect(settings) as database, replicas(settings, database) as found:
        await migrate(database)
        yield found


async def port_of(database: Database) -> int:
    """The port of the server that is read."""
    return int((await position_of(database.fetch)).server.rpartition(":")[2])


async def write_pairs(database: Database, count: list[int]) -> None:
    """Write a department and a job of the same id in each transaction; count[0]: the last id."""
    while True:
        at = count[0] + 1
        async with database.transaction() as transaction:
            await transaction.insert(DEPARTMENTS.sql["insert_with_id"], [(at, "x")])
            await transaction.insert(JOBS.sql["insert_with_id"], [(at, "x")])
        count[0] = at


async def ids_in(folder: Path, saved: Saved) -> list[set[int]]:
    """The ids of departments and of jobs in a backup."""
    with (folder / saved.name).open("rb") as file:
        async with opened(file) as sources:
            return [
                {row[0] for records in reader for row in validate(reader.table, records).rows}
                for reader in readers(sources)
                if reader.table in (DEPARTMENTS, JOBS)
            ]


@pytest.mark.short
async def test_a_backup_of_a_replica_is_of_one_moment_and_has_all_committed_rows(
    cluster: Cluster, tmp_path: Path
) -> None:
    settings = await settings_of(cluster)
    async with reading(settings) as found:
        count = [0]
        writing = asyncio.create_task(write_pairs(found.writer, count))
        for _ in range(10):
            await asyncio.sleep(0.3)
            committed = count[0]
            replica = await found.current()
            assert replica is not found.writer
            saved = await BackupStore(tmp_path).save(replica, None, "deflate")
            departments, jobs = await ids_in(tmp_path, saved)
            assert departments == jobs == set(range(1, len(jobs) + 1))
            assert len(jobs) >= committed
            assert int(saved.server.rpartition(":")[2]) == await port_of(replica)
            assert saved.position
        writing.cancel()
        assert count[0] > 20


@pytest.mark.short
@pytest.mark.parametrize("fault", ["kill", "pause"])
async def test_the_next_server_is_read_if_a_replica_is_killed_or_frozen(
    cluster: Cluster, caplog: pytest.LogCaptureFixture, fault: str
) -> None:
    caplog.set_level(logging.WARNING)
    settings = await settings_of(cluster)
    first, second = [n for n in NODES if cluster.address(n) not in (settings.mysql_host or "")]
    alone = msgspec.structs.replace(settings, mysql_read_host=cluster.address(first))
    async with reading(settings) as both, reading(alone) as one:
        for found in (both, one):
            assert await port_of(await found.current()) == cluster.ports[first]
        await getattr(cluster, fault)(first)
        await until_read(both, cluster.ports[second])
        writer = int((settings.mysql_host or "").rpartition(":")[2])
        await until_read(one, writer)
    lines = [one.getMessage() for one in caplog.records if one.name == "hirebase.replicas"]
    assert [cluster.address(first) in line for line in lines] == [True, True]


@pytest.mark.parametrize("fault", ["kill", "pause"])
async def test_a_backup_fails_if_its_server_fails_and_the_next_one_succeeds(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    settings = await settings_of(cluster)
    first, second = [n for n in NODES if cluster.address(n) not in (settings.mysql_host or "")]
    store = BackupStore(tmp_path)
    async with reading(settings) as found:
        async with found.writer.transaction() as transaction:
            rows = [(at, "x") for at in range(1, 20_001)]
            await transaction.insert(JOBS.sql["insert_with_id"], rows)
        replica = await found.current()
        assert await port_of(replica) == cluster.ports[first]
        with monkeypatch.context() as patch:
            patch.setattr(paging, "PAGE", 1)  # one row at a time takes long enough
            saving = asyncio.create_task(store.save(replica, JOBS, "null"))
            await until(lambda: in_thread(has_files, tmp_path), SOON)
            await getattr(cluster, fault)(first)
            async with asyncio.timeout(SOON):
                with pytest.raises(UnavailableError):
                    await saving
        assert store.list() == []
        assert not await in_thread(has_files, tmp_path)
        await until_read(found, cluster.ports[second])
        saved = await store.save(await found.current(), JOBS, "null")
        assert saved.tables["jobs"].rows == 20_000


def has_files(folder: Path) -> bool:
    return any(folder.iterdir())


async def until_read(found: Replicas, port: int) -> None:
    """Another server is read soon. While the cluster notices the fault, the writer may be busy."""
    async with asyncio.timeout(SOON):
        while True:
            with suppress(UnavailableError):
                assert await port_of(await found.current()) == port
                return


async def test_a_replica_that_lags_is_not_read(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    settings = await settings_of(cluster)
    first, second = [n for n in NODES if cluster.address(n) not in (settings.mysql_host or "")]
    async with reading(settings) as found:
        assert await port_of(await found.current()) == cluster.ports[first]
        with pymysql.connect(**cluster._root(first), autocommit=True) as root:
            # Nothing can be applied while this lock is held.
            root.cursor().execute("FLUSH TABLES WITH READ LOCK")
            async with found.writer.transaction() as transaction:
                await transaction.insert(JOBS.sql["insert_with_id"], [(1, "x")])
            assert await port_of(await found.current()) == cluster.ports[second]
    assert cluster.address(first) in caplog.text


@pytest.mark.short
async def test_a_service_sees_its_own_rows_in_reports_and_backups(cluster: Cluster) -> None:
    settings = await settings_of(cluster)
    async with reading(settings):
        pass
    async with serving(settings) as client:
        (department,) = (await client.post("/departments", json={"department": "D"})).json()["ids"]
        (job,) = (await client.post("/jobs", json={"job": "J"})).json()["ids"]
        for count in range(1, 21):
            hire = {
                "name": "N",
                "datetime": "2021-07-27T16:02:08Z",
                "department_id": department,
                "job_id": job,
            }
            assert (await client.post("/employees", json=hire)).status_code == 201
            rows = (await client.get("/reports/hires-by-quarter?year=2021")).json()
            assert [row["Q3"] for row in rows] == [count]
        metrics = (await client.get("/metrics")).text
        assert re.search(r"hirebase_read_pool_connections [12]\.0", metrics)
        content = (await client.get("/avro/backup/employees")).content
        (verdict,) = (await client.post("/avro/verify", content=content)).json()["tables"]
        assert verdict["rows"] == 20
        assert verdict["server"].endswith(tuple(str(cluster.ports[n]) for n in NODES))
        assert not verdict["server"].endswith((settings.mysql_host or "").partition(":")[2])
        assert verdict["position"]
        restored = await client.post("/avro/restore/employees", content=content)
        assert restored.json()["verified"]
