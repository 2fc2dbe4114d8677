"""Groups of small batches whose COMMIT is lost or whose server is away: each is written once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from service.core.database.connect import connect
from service.core.database.transactions import Database
from service.core.errors import CommitUnknownError, UnavailableError
from service.core.settings import Settings
from service.core.writes.group_commit import TRANSACTIONS
from tests.integration.database.test_commit_unknown import several
from tests.support.commit_faults import LATE_SECONDS, Fault, faulty_commits
from tests.support.hires import count
from tests.support.small_batches import Writer, names_of

pytestmark = pytest.mark.usefixtures("parents")


OF_GROUP = [b"'n0'"]
"""A text of the group's transaction, which may overtake those that are written alone."""


@asynccontextmanager
async def failing(settings: Settings, fault: Fault) -> AsyncIterator[Writer]:
    """A writer whose COMMIT of the first group fails so."""
    async with faulty_commits(settings) as (through, commits), connect(through) as database:
        commits.faults, commits.texts = [fault], OF_GROUP
        yield Writer(database)
        assert commits.faults == []


@pytest.mark.parametrize("fault", ["committed", "lost", "late", "deadlock", "read_only"])
async def test_keys_survive_a_lost_commit_of_a_group(
    migrated: Settings, database: Database, fault: Fault
) -> None:
    async with failing(migrated, fault) as writer:
        first = await writer.fill()
        tasks = [writer.write(f"n{at}", key=f"k{at}") for at in range(8)]
        replies = await asyncio.gather(*tasks)
        await asyncio.gather(*first)
        await asyncio.sleep(LATE_SECONDS if fault == "late" else 0)
        for at, reply in enumerate(replies):
            assert await names_of(database, reply) == [f"n{at}"]
        assert await count(database, "hired_employees") == TRANSACTIONS + 8
    assert set(writer.alone) - {f"first {n}" for n in range(TRANSACTIONS)} == (
        {f"n{at}" for at in range(8)} if fault in ("committed", "lost", "late") else set()
    )


async def test_without_keys_a_lost_commit_is_reported_to_each(
    migrated: Settings, database: Database
) -> None:
    async with failing(migrated, "committed") as writer:
        first = await writer.fill()
        tasks = [writer.write(f"n{at}") for at in range(8)]
        errors = await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*first)
    assert {type(error) for error in errors} == {CommitUnknownError}
    assert await count(database, "hired_employees") == TRANSACTIONS + 8


@pytest.mark.parametrize("fault", ["committed", "lost", "late", "deadlock", "left_group"])
@pytest.mark.parametrize("keys", [[None] * 8, [None, "k"] * 4])
async def test_several_servers_confirm_the_commit_of_a_group(
    migrated: Settings, database: Database, fault: Fault, keys: list[str | None]
) -> None:
    async with (
        faulty_commits(migrated) as (through, commits),
        connect(several(through)) as both,
    ):
        commits.faults, commits.texts = [fault], OF_GROUP
        writer = Writer(both)
        first = await writer.fill()
        texts = [key and f"{key}{at}" for at, key in enumerate(keys)]
        tasks = [writer.write(f"n{at}", key=text) for at, text in enumerate(texts)]
        replies = await asyncio.gather(*tasks)
        await asyncio.gather(*first)
        await asyncio.sleep(LATE_SECONDS if fault == "late" else 0)
    assert commits.faults == []
    for at, reply in enumerate(replies):
        assert await names_of(database, reply) == [f"n{at}"]
    assert await count(database, "hired_employees") == TRANSACTIONS + 8


async def test_an_unreachable_server_is_an_error_of_each_batch(
    migrated: Settings, database: Database
) -> None:
    async with connect(migrated) as other:
        writer = Writer(other)
        other.pool.terminate()
        errors = await asyncio.gather(
            *(writer.write(f"n{at}") for at in range(10)), return_exceptions=True
        )
    assert all(isinstance(error, UnavailableError) for error in errors)
    assert await count(database, "hired_employees") == 0
