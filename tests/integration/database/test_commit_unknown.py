"""COMMITs without an answer: rows are written once, and the error says that it is unknown."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest

from service.core.database.transactions import Database
from service.core.settings import Settings
from service.core.writes.idempotency import MINUTES, RECHECK_SECONDS
from tests.integration.writes.test_idempotency import ROWS, Client, send
from tests.support.commit_faults import LATE_SECONDS, STALLED_SECONDS, Fault, faulty_commits
from tests.support.hires import count, names
from tests.support.serving import serving

pytestmark = pytest.mark.usefixtures("parents")


@pytest.mark.parametrize(
    ("faults", "replayed"),
    [
        (["committed"], True),
        (["lost"], False),
        (["late"], None),
        (["lost", "committed"], None),
        (["late", "lost"], None),
        (["lost", "lost", "lost", "committed"], None),
    ],
)
async def test_a_connection_lost_in_commit_writes_once(
    migrated: Settings, database: Database, faults: list[Fault], replayed: bool | None
) -> None:
    """replayed: whether the service's second attempt finds the key; None: either is possible.

    If the second attempt overtakes a late COMMIT, it writes, and the late COMMIT does not.
    """
    async with faulty_commits(migrated) as (settings, commits), serving(settings) as client:
        commits.faults = list(faults)
        replies = [await send(client)]
        while replies[-1].status_code == 503:
            assert int(replies[-1].headers["Retry-After"]) >= 1
            replies.append(await send(client))
        again = await send(client)
        await asyncio.sleep(LATE_SECONDS if "late" in faults else 0)
    reply = replies[-1]
    assert commits.faults == []
    assert (reply.status_code, again.content) == (207, reply.content)
    assert replayed is None or (len(replies), "Idempotency-Replayed" in reply.headers) == (
        1,
        replayed,
    )
    written = {key: row["name"] for key, row in zip(reply.json()["ids"], ROWS, strict=True) if key}
    assert await names(database) == written
    assert await count(database, "rejects") == 2


async def test_without_a_key_a_connection_lost_in_commit_is_reported(
    migrated: Settings, database: Database
) -> None:
    async with faulty_commits(migrated) as (settings, commits), serving(settings) as client:
        commits.faults = ["committed"]
        reply = await client.post("/employees", json=ROWS)
    assert reply.status_code == 503
    assert "Idempotency-Key" in reply.json()["detail"]
    assert await count(database, "hired_employees") == 2


@pytest.mark.parametrize(
    "faults",
    [
        ["committed"],
        ["lost"],
        ["late"],
        ["deadlock"],
        ["read_only"],
        ["left_group"],
        ["committed", "committed"],
        ["lost", "committed"],
        ["late", "lost", "deadlock"],
        ["left_group", "late", "committed"],
    ],
)
async def test_several_servers_confirm_a_commit_without_a_key(
    migrated: Settings, database: Database, faults: list[Fault]
) -> None:
    async with (
        faulty_commits(migrated) as (settings, commits),
        serving(several(settings)) as client,
    ):
        commits.faults = list(faults)
        reply = await client.post("/employees", json=ROWS)
        written = await _sum(client, "hirebase_rows_inserted_total")
    assert reply.status_code == 207
    assert len(commits.faults) < len(faults)
    assert "Idempotency-Replayed" not in reply.headers
    await asyncio.sleep(LATE_SECONDS if "late" in faults else 0)
    ids = [key for key in reply.json()["ids"] if key]
    assert await names(database) == dict(zip(ids, ["first", "third"], strict=True))
    assert await count(database, "rejects") == 2
    assert written == 2


def several(settings: Settings) -> Settings:
    """The same server, named twice."""
    return msgspec.structs.replace(
        settings, mysql_host=f"127.0.0.1:{settings.mysql_port},127.0.0.1:{settings.mysql_port}"
    )


async def _sum(client: Client, metric: str) -> float:
    lines = (await client.get("/metrics")).text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(metric))


async def test_a_commit_that_a_read_only_server_refuses_is_repeated(
    migrated: Settings, database: Database
) -> None:
    """It was certainly not done, so this needs no key."""
    async with faulty_commits(migrated) as (settings, commits), serving(settings) as client:
        commits.faults = ["read_only"]
        reply = await client.post("/employees", json=ROWS)
    assert (reply.status_code, commits.faults) == (207, [])
    assert await count(database, "hired_employees") == 2


async def test_records_of_transactions_without_a_key_expire_soon(
    migrated: Settings, database: Database
) -> None:
    async with faulty_commits(migrated) as (settings, _), serving(several(settings)) as client:
        await client.post("/employees", json=ROWS)
        await client.post("/employees?dry_run=true", json=ROWS)
    ((rows, bytes_of_replies, minutes),) = await database.fetch(
        "SELECT COUNT(*), SUM(LENGTH(reply)),"
        " MAX(TIMESTAMPDIFF(SECOND, CURRENT_TIMESTAMP(6), expires_at)) / 60 FROM idempotency_keys"
    )
    assert (rows, bytes_of_replies) == (1, "0")
    assert 0 < float(minutes) <= MINUTES


async def test_one_server_records_no_transaction_without_a_key(
    client: Client, database: Database
) -> None:
    await client.post("/employees", json=ROWS)
    assert await count(database, "idempotency_keys") == 0


@pytest.mark.parametrize(("fate", "written"), [("unanswered", 2), ("stalled", 0)])
async def test_a_deadline_in_commit_is_reported_as_unknown(
    migrated: Settings, database: Database, fate: Fault, written: int
) -> None:
    async with short_timeout(migrated, fate) as client:
        reply = await client.post("/employees", json=ROWS)
        assert reply.status_code == 503
        assert reply.headers["Retry-After"]
        assert "may be written or not" in reply.json()["detail"]
        assert "Idempotency-Key" in reply.json()["detail"]
        assert await count(database, "hired_employees") == written
        assert (await client.get("/jobs")).status_code == 200


async def test_with_a_key_the_service_checks_after_a_deadline_in_commit(
    migrated: Settings, database: Database
) -> None:
    async with short_timeout(migrated, "unanswered") as client:
        reply = await send(client)
    assert (reply.status_code, reply.headers["Idempotency-Replayed"]) == (207, "true")
    assert await count(database, "hired_employees") == 2


async def test_the_check_has_a_deadline_and_a_later_repeat_succeeds(
    migrated: Settings, database: Database
) -> None:
    """The server still holds the lock of the key for the silent connection."""
    async with short_timeout(migrated, "stalled") as client:
        started = time.monotonic()
        reply = await send(client)
        assert time.monotonic() - started < RECHECK_SECONDS + 3
        assert reply.status_code == 503
        assert "may be written or not" in reply.json()["detail"]
        await asyncio.sleep(STALLED_SECONDS)
        assert (await send(client)).status_code == 207
    assert await count(database, "hired_employees") == 2


@asynccontextmanager
async def short_timeout(migrated: Settings, fate: Fault) -> AsyncIterator[Client]:
    """A client of a service with MYSQL_TIMEOUT=1; fate: what happens to its first COMMIT."""
    short = msgspec.structs.replace(migrated, mysql_timeout=1)
    async with faulty_commits(short) as (settings, commits), serving(settings) as client:
        commits.faults = [fate]
        yield client
        assert commits.faults == []
