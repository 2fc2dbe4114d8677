"""The privileges that doctor asks for: each is needed, and together they are enough."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from loader.loading.pipeline import load
from loader.options import Options
from service.cli.doctor.privileges import NEEDED
from service.core.backups.backup_store import BackupStore
from service.core.backups.restore import restore
from service.core.backups.sources import opened
from service.core.backups.staged import choice
from service.core.database.connect import connect
from service.core.database.migrations import migrate
from service.core.settings import Settings
from tests.integration.doctor.conftest import Doctor, execute, found, wrong
from tests.support import engine
from tests.support.logins import new_login
from tests.support.tcp_proxy import Proxy


@pytest.fixture
async def login(scratch: Settings, proxy: Proxy) -> AsyncIterator[Settings]:
    """Settings of a login without any privilege, for an empty database."""
    async with (
        connect(scratch) as database,
        new_login(database, engine.through(proxy, scratch)) as own,
    ):
        yield own


def allowing(settings: Settings, *privileges: str) -> str:
    names = ", ".join(privileges)
    return f"GRANT {names} ON {settings.mysql_database}.* TO {settings.mysql_user}"


@pytest.mark.parametrize("large", [1, 1_000_000])
async def test_they_are_enough(
    login: Settings,
    scratch: Settings,
    doctor: Doctor,
    monkeypatch: pytest.MonkeyPatch,
    large: int,
) -> None:
    """For migrations, a load, a backup and a restore, also of tables that count as large."""
    monkeypatch.setattr(choice, "LARGE_ROWS", large)
    await execute(scratch, allowing(login, *NEEDED))
    async with connect(login) as database:
        await migrate(database)
        await load(database, Options(login.data_dir, login.rejects_dir))
        store = BackupStore(login.backup_dir)
        saved = await store.save(database, None, "null")
        with store.open(saved.name) as file:
            async with opened(file) as sources:
                done = await restore(database, sources, "replace")
    assert sum(one.restored for one in done) == 2124
    assert found(await doctor(login), "privileges").status == "ok"


@pytest.mark.parametrize("missing", NEEDED)
async def test_a_missing_one_is_named_and_the_advice_helps(
    login: Settings, scratch: Settings, doctor: Doctor, missing: str
) -> None:
    await execute(scratch, allowing(login, *(one for one in NEEDED if one != missing)))
    report = await doctor(login)
    assert "privileges" in wrong(report)
    finding = found(report, "privileges")
    assert f"lacks {missing} on {login.mysql_database}" in finding.text
    await execute(scratch, finding.remedy.partition(": ")[2])
    assert found(await doctor(login), "privileges").status == "ok"


async def test_a_login_without_any_gets_the_statement_that_helps(
    login: Settings, scratch: Settings, doctor: Doctor
) -> None:
    report = await doctor(login)
    assert wrong(report) == {"database"}
    finding = found(report, "database")
    assert "denied" in finding.text
    await execute(scratch, finding.remedy.partition(": ")[2])
    assert wrong(await doctor(login)) == {"migrations"}
