"""The lock of restores: what its owner and others notice."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

from service.core.backups.staged import lock
from service.core.backups.staged.guard import remove_guards
from service.core.backups.staged.lock import locked, unless_held
from service.core.database.connect import connect
from service.core.database.statements import SQL
from service.core.database.transactions import SNAPSHOT_SECONDS, Database
from service.core.errors import ContentionError, UnavailableError
from service.core.settings import Settings

MICROSECONDS = 1_000_000


@pytest.fixture
def seekdb(settings: Settings) -> None:
    if not settings.embedded:
        pytest.skip("only seekdb and OceanBase end a transaction after a time")


@pytest.mark.usefixtures("seekdb", "database")
async def test_a_lock_that_the_server_ended_ends_the_restore(
    migrated: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    shorter = f"{SQL['oceanbase_session']}, ob_trx_timeout = {2 * MICROSECONDS}"
    monkeypatch.setitem(SQL, "oceanbase_session", shorter)
    monkeypatch.setattr(lock, "BEAT_SECONDS", 0.5)
    async with connect(migrated) as database:
        with pytest.raises(UnavailableError):
            await locked(database, partial(asyncio.sleep, 10), "own")


@pytest.mark.usefixtures("seekdb")
async def test_the_server_ends_no_transaction_before_its_deadline(database: Database) -> None:
    (limits,) = await database.fetch("SELECT @@ob_trx_timeout, @@ob_query_timeout")
    assert min(limits) >= max(lock.SECONDS, SNAPSHOT_SECONDS) * MICROSECONDS


async def test_without_its_row_the_lock_may_be_held(database: Database) -> None:
    async with database.transaction() as transaction:
        await transaction.execute("DELETE FROM schema_migrations WHERE version = -1")
    with pytest.raises(ContentionError):
        await unless_held(database, partial(remove_guards, database, ["jobs"]))
    await locked(database, partial(asyncio.sleep, 0), "own")
    await unless_held(database, partial(remove_guards, database, ["jobs"]))
