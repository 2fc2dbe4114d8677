"""Limits on one transaction: what exceeds them is refused before, and nothing is changed."""

from __future__ import annotations

import io
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from loader.loading.pipeline import load
from loader.options import Options
from service.core.backups import restore as restoring
from service.core.backups.preview import preview
from service.core.backups.restore import restore
from service.core.backups.restored import Restored
from service.core.database.connect import connect
from service.core.database.migrations import migrate
from service.core.errors import TransactionTooLarge
from service.core.settings import Settings
from service.core.tables import Table
from service.core.writes.transaction_size import OTHER_BYTES, TransactionSize
from tests.support.backup_files import DEPARTMENTS, EMPLOYEES, JOBS, avro_file, records
from tests.support.clusters import NODES, Cluster, GroupReplication
from tests.support.serving import serving

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]
BYTES = {
    "Group Replication": ("group_replication_transaction_size_limit", 150_000_000),
    "Galera": ("wsrep_max_ws_size", 2_147_483_647),
}
NO_LIMIT = 1 << 40
COUNT = 4000

Rows = list[dict[str, Any]]


def named(name: str, count: int = COUNT) -> Rows:
    return [row | {"name": name} for row in records(EMPLOYEES, count)]


CHANGES: dict[str, tuple[Table, Rows, Rows]] = {
    "short names": (EMPLOYEES, [], named("A")),
    "long names": (EMPLOYEES, [], named("x" * 255)),
    "names of four bytes a character": (EMPLOYEES, [], named("😀" * 255)),
    "names that are escaped": (EMPLOYEES, [], named("'" * 255)),
    "other names": (EMPLOYEES, named("x" * 100), named("A")),
    "fewer rows": (EMPLOYEES, named("x" * 100), named("x" * 100, 10)),
    "departments": (DEPARTMENTS, [], records(DEPARTMENTS, COUNT)),
}


@asynccontextmanager
async def variable(cluster: Cluster, name: str, value: int, usual: int) -> AsyncIterator[None]:
    """Set a variable on all nodes."""
    try:
        for n in NODES:
            await cluster.sql(n, f"SET GLOBAL {name} = {value}")
        yield
    finally:
        for n in NODES:
            await cluster.sql(n, f"SET GLOBAL {name} = {usual}")


def most_bytes(cluster: Cluster, value: float) -> Any:
    """Set the limit on the bytes of a transaction."""
    name, usual = BYTES[cluster.NAME]
    return variable(cluster, name, int(value), usual)


async def put(settings: Settings, table: Table, rows: Rows) -> Restored:
    async with connect(settings) as database:
        (done,) = await restore(database, [(table, io.BytesIO(avro_file(table, rows)))], "replace")
        return done


async def digest(settings: Settings) -> Any:
    """The number of hires, and a checksum of them."""
    async with connect(settings) as database:
        return await database.fetch(
            "SELECT COUNT(*), SUM(CRC32(CONCAT_WS(',', id, name, `datetime`, department_id, "
            "job_id))) FROM hired_employees"
        )


async def prepare(settings: Settings) -> None:
    """The tables. A restore of the hires needs one transaction: another table refers to them."""
    async with connect(settings) as database:
        await migrate(database)
        await database.fetch(
            "CREATE TABLE of_a_dba (id INT PRIMARY KEY, hire INT, "
            "FOREIGN KEY (hire) REFERENCES hired_employees (id))"
        )
    for table in (DEPARTMENTS, JOBS):
        await put(settings, table, records(table, 5))


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The size of the transaction after each step of a restore."""
    found: list[int] = []
    check = TransactionSize.check

    def recorded(self: TransactionSize) -> None:
        check(self)
        found.append(self._transaction.size)

    monkeypatch.setattr(TransactionSize, "check", recorded)
    return found


@pytest.mark.parametrize("change", CHANGES)
async def test_the_size_of_a_restore_is_known(
    cluster: Cluster, sizes: list[int], change: str
) -> None:
    """The server accepts a restore at its limit, and refuses it a little below."""
    settings = cluster.settings
    unlimited = msgspec.structs.replace(settings, mysql_max_transaction_bytes=NO_LIMIT)
    table, before, after = CHANGES[change]
    await prepare(settings)
    await put(settings, table, before)
    sizes.clear()
    await put(settings, table, after)
    size = sizes[-1]
    await put(settings, table, before)
    async with most_bytes(cluster, size - 1):
        with pytest.raises(TransactionTooLarge, match=r"This restore writes at least \d+ bytes"):
            await put(settings, table, after)
    exact = 0.97 if isinstance(cluster, GroupReplication) else 0.8
    async with most_bytes(cluster, (size - OTHER_BYTES) * exact):
        with pytest.raises(TransactionTooLarge, match="larger than the database allows"):
            await put(unlimited, table, after)
        assert (await put(unlimited, table, before)).changed == 0
    async with most_bytes(cluster, size):
        done = await put(settings, table, after)
        assert done.added + done.changed + done.removed >= COUNT - 10


async def test_a_merge_above_the_limit_is_refused_before_it_writes(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says how many rows it could take: of a file with new rows, and of one with changes."""
    previews: list[Any] = []

    async def recorded(*arguments: Any) -> Any:
        previews.append(arguments)
        return await preview(*arguments)

    monkeypatch.setattr(restoring, "preview", recorded)
    await prepare(cluster.settings)
    url = "/avro/restore/employees?mode=merge"
    rows = records(EMPLOYEES, 400_000)
    others = [row | {"name": "x" * 30} for row in rows[:150_000]]
    async with most_bytes(cluster, 20_000_000), serving(with_password(cluster.settings)) as client:

        async def merge(rows: Rows) -> Any:
            return await client.post(url, content=avro_file(EMPLOYEES, rows, page=10_000))

        for file, outcome in ((rows, "added"), (others, "changed")):
            before = await digest(cluster.settings)
            previews.clear()
            refused = await merge(file)
            # The number of rows alone refuses the first file, before any is compared.
            assert len(previews) == (outcome == "changed")
            assert await digest(cluster.settings) == before
            assert (refused.status_code, "20000000" in refused.json()["detail"]) == (422, True)
            found = re.search(r"at most (\d+) rows like these", refused.json()["detail"])
            assert found
            # The first number is a bound: it comes from the number of rows alone.
            most = int(found[1]) if outcome == "changed" else 150_000
            assert int(found[1]) >= most > 50_000
            done = await merge(file[:most])
            assert (done.status_code, done.json().get(outcome)) == (200, most), done.text


@pytest.mark.short
async def test_a_batch_above_the_limit_is_refused(cluster: Cluster) -> None:
    await prepare(cluster.settings)
    rows = [{"department": "x" * 255}] * 1000
    async with most_bytes(cluster, 200_000), serving(with_password(cluster.settings)) as client:
        refused = await client.post("/departments", json=rows)
        assert (refused.status_code, refused.json()["title"]) == (422, "Unprocessable Entity")
        done = await client.post("/departments", json=rows[:200])
        assert done.status_code == 201
        stored = (await client.get("/departments?limit=1000")).json()["rows"]
        assert len(stored) == 5 + 200


@pytest.mark.short
async def test_a_load_keeps_below_the_limit(cluster: Cluster, tmp_path: Path) -> None:
    await prepare(cluster.settings)
    lines = [f"{at},A,2021-07-27T16:02:08Z,1,1" for at in range(1, 20_001)] + ["x"] * 20_000
    (tmp_path / "hired_employees.csv").write_text("\n".join(lines))
    async with most_bytes(cluster, 1_000_000), connect(cluster.settings) as database:
        (summary, *_) = [
            one for one in await load(database, Options(tmp_path, tmp_path / "r")) if one.read
        ]
    assert (summary.counts.added, summary.rejected) == (20_000, 20_000)


async def test_a_limit_on_rows_is_kept(galera: Cluster, tmp_path: Path) -> None:
    await prepare(galera.settings)
    await put(galera.settings, EMPLOYEES, named("A", 100))
    (tmp_path / "jobs.csv").write_text("".join(f"{at},A\n" for at in range(1, 20_001)))
    async with (
        variable(galera, "wsrep_max_ws_rows", 1000, 0),
        connect(galera.settings) as database,
        serving(with_password(galera.settings)) as client,
    ):
        with pytest.raises(TransactionTooLarge, match=r"wsrep_max_ws_rows allows 1000"):
            await put(galera.settings, EMPLOYEES, named("A", 1100))
        assert (await put(galera.settings, EMPLOYEES, named("A", 1099))).added == 999
        refused = await client.post(
            "/departments", json=[{"department": "x"}] * 1000, headers={"Idempotency-Key": "1"}
        )
        assert refused.status_code == 422
        done = await client.post("/departments", json=[{"department": "x"}] * 1000)
        assert done.status_code == 201
        loaded = await load(database, Options(tmp_path, tmp_path / "r", on_conflict="replace"))
        assert sum(one.counts.added + one.counts.changed for one in loaded) == 20_000


def with_password(settings: Settings) -> Settings:
    return msgspec.structs.replace(settings, api_user="admin", api_pass="test-password")
