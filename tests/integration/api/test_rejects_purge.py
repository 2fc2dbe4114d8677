"""Expired rejects are purged. The module has no other service, which would purge them too."""

from __future__ import annotations

import asyncio

import pytest

from loader.loading.pipeline import load
from service.core.database.transactions import Database
from service.core.rules.fields import Error
from service.core.rules.reject import Reject
from service.core.settings import Settings
from service.core.tables import TABLES
from service.core.writes.rejects import (
    REJECTS_PURGE_LIMIT,
    RejectOrigin,
    log_rejects,
    purge_rejects,
)
from tests.support import program
from tests.support.csv_files import Folder, Interrupted, StopAfter, dirty, empty, outcomes, state
from tests.support.load import started
from tests.support.waiting import until

API = RejectOrigin("api", "POST /departments")


async def put(database: Database, count: int, days: float = 0) -> None:
    """This many rejects of this age."""
    one = [Reject(at, "x", [Error(None, "malformed", "is no row")]) for at in range(count)]
    async with database.transaction() as transaction:
        await log_rejects(transaction, TABLES[0], one, API)
    await age(database, days)


async def age(database: Database, days: float) -> None:
    """Make all rejects older."""
    async with database.transaction() as transaction:
        await transaction.execute(
            "UPDATE rejects SET rejected_at = DATE_SUB(rejected_at, INTERVAL %s SECOND)",
            (int(days * 86400),),
        )


async def purge(database: Database, days: int) -> int:
    async with database.transaction() as transaction:
        return await purge_rejects(transaction, days)


async def left(database: Database) -> int:
    ((count,),) = await database.fetch("SELECT COUNT(*) FROM rejects")
    return int(count)


async def test_old_rejects_are_deleted_in_small_batches(database: Database) -> None:
    await put(database, 2 * REJECTS_PURGE_LIMIT + 5, days=8)
    await put(database, 3, days=6)
    gone = [await purge(database, 14) for _ in range(4)]
    assert gone == [REJECTS_PURGE_LIMIT, REJECTS_PURGE_LIMIT, 5, 0]
    assert await left(database) == 3


@pytest.mark.usefixtures("small_blocks")
async def test_a_load_continues_to_the_same_end_after_a_purge(
    database: Database, folder: Folder
) -> None:
    folder.write(hired_employees=dirty(300))
    undisturbed = await load(database, folder.options())
    wanted, file = await state(database), undisturbed[-1].rejects_file
    assert file
    text = file.read_text()
    await empty(database)
    file.unlink()
    with pytest.raises(Interrupted):
        await load(database, folder.options(), StopAfter(4))
    logged = await left(database)
    assert logged
    await put(database, 7)
    await age(database, 1000)
    assert await purge(database, 1) == 7
    assert await left(database) == logged
    assert outcomes(await load(database, folder.options())) == outcomes(undisturbed)
    assert await state(database) == wanted
    assert file.read_text() == text
    assert await purge(database, 1) == logged


async def test_the_index_finds_the_oldest(database: Database) -> None:
    rows = await database.fetch(
        "SELECT column_name FROM information_schema.statistics WHERE table_schema = DATABASE() "
        "AND table_name = 'rejects' AND index_name = 'rejects_expiry'"
    )
    assert rows == [("rejected_at",)]


@pytest.mark.parametrize(("days", "kept"), [(7, 1), (0, 4)])
async def test_the_service_purges_what_has_expired(
    database: Database, migrated: Settings, days: int, kept: int
) -> None:
    await put(database, 3, days=30)
    await put(database, 1)
    service = await started(migrated, REJECTS_DAYS=str(days))

    async def purged() -> bool:
        return await left(database) <= kept

    await until(purged, 10)
    await asyncio.sleep(0.5)
    assert await left(database) == kept
    assert (await service.end()).code == 0


async def test_an_invalid_number_of_days_stops_the_start(migrated: Settings) -> None:
    ended = await program.run("service", "serve", REJECTS_DAYS="-1", MYSQL_HOST="x", API_PASS="x")
    assert ended.code != 0
    assert "REJECTS_DAYS" in ended.err
    assert migrated.rejects_days == 90


async def test_the_columns_of_a_file_are_kept_as_long_as_its_rejects(
    database: Database, folder: Folder
) -> None:
    """Without them, its records would be read in the order of the table."""
    columns = "id,name,datetime,job_id,department_id"
    good, bad = "1,Ana,2021-01-01T00:00:00Z,1,2", "2,,2021-01-01T00:00:00Z,1,2"
    for lines, kept in ([columns, good], []), ([columns, good, bad], [(columns,)]):
        folder.write(hired_employees=lines)
        await load(database, folder.options())
        assert await purge(database, 1) == 0
        assert await database.fetch("SELECT layout FROM reject_layouts") == kept
    await age(database, 2)
    assert await purge(database, 1) == 1
    assert await database.fetch("SELECT layout FROM reject_layouts") == []
