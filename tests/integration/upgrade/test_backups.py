"""Backups of every released version can be verified and restored, in each codec."""

from __future__ import annotations

import pytest
from httpx import AsyncClient as Client

from service.core.backups.format.codecs import CODECS
from service.core.database.transactions import Database
from service.core.tables import TABLES
from tests.support.releases import RELEASES, Release
from tests.support.restores import contents, post

BACKUPS = [
    pytest.param(release, backup.suffix, backup.read_bytes(), id=f"{release.version}-{backup.name}")
    for release in RELEASES
    for backup in release.backups
]
NAMES = {name for codec in CODECS for name in (f"all-{codec}.zip", f"employees-{codec}.avro")}


@pytest.fixture
async def expected(database: Database, release: Release) -> dict[str, object]:
    """The rows that the backups of a release have. The tables have them as well."""
    names = {f"INSERT INTO {table.name} " for table in TABLES}
    async with database.transaction() as transaction:
        for statement in release.rows:
            if any(statement.startswith(name) for name in names):
                await transaction.execute(statement)
    return await contents(database)


@pytest.mark.parametrize(("release", "kind", "backup"), BACKUPS)
async def test_a_backup_of_a_released_version_is_restored(
    api: Client,
    database: Database,
    expected: dict[str, object],
    release: Release,
    kind: str,
    backup: bytes,
) -> None:
    async with database.transaction() as transaction:
        await transaction.execute("DELETE FROM hired_employees")
        if kind == ".zip":
            await transaction.execute("DELETE FROM jobs")
            await transaction.execute("DELETE FROM departments")
    verdict = (await post(api, "verify", backup)).json()
    assert verdict["verified"]
    assert {table["program"] for table in verdict["tables"]} == {f"hirebase {release.version}"}
    tables = "all" if kind == ".zip" else "employees"
    reply = await post(api, f"restore/{tables}", backup)
    assert reply.status_code == 200
    restored = reply.json()
    assert all(table["verified"] for table in restored.get("tables", [restored]))
    assert await contents(database) == expected


def test_each_codec_has_its_backups() -> None:
    for release in RELEASES:
        assert {backup.name for backup in release.backups} == NAMES
