"""Changes of single rows whose first attempt is still being committed when it is repeated.

The second attempt finds the row as the first one leaves it. Its answer is the reply to the first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from itertools import count as count_up

import httpx
import pytest

from service.core.database.connect import connect
from service.core.database.statements import Transaction
from service.core.database.transactions import Database
from service.core.errors import ChangedError
from service.core.settings import Settings
from service.core.writes.idempotency import Key, Keys, Reply
from tests.integration.database.test_commit_unknown import several
from tests.integration.writes.test_reject_outcomes import correct, dismiss, rejected
from tests.support.commit_faults import LATE_SECONDS, Fault, faulty_commits
from tests.support.hires import add_hire_7, add_parents, count, hire
from tests.support.serving import serving

Client = httpx.AsyncClient
Headers = dict[str, str]
Send = Callable[[Client, Headers], Awaitable[httpx.Response]]

URL = "/employees/7"
KEY = {"Idempotency-Key": "k"}


@pytest.fixture(autouse=True)
async def _rows(database: Database) -> None:
    await add_parents(database, range(1, 3))
    await add_hire_7(database)


async def patch(client: Client, headers: Headers) -> httpx.Response:
    return await client.patch(URL, json={"name": "Ada"}, headers=headers)


async def delete(client: Client, headers: Headers) -> httpx.Response:
    return await client.delete(URL, headers=headers)


async def changed(client: Client, send: Send, headers: Headers) -> httpx.Response:
    """A change of the row as it is now."""
    tag = (await client.get(URL)).headers["ETag"]
    return await send(client, {"If-Match": tag, **headers})


@pytest.mark.parametrize("send", [patch, delete])
@pytest.mark.parametrize("fault", ["committed", "lost", "late"])
@pytest.mark.parametrize("with_key", [True, False])
async def test_a_change_whose_commit_is_unconfirmed_gets_its_own_reply(
    migrated: Settings, database: Database, send: Send, fault: Fault, with_key: bool
) -> None:
    async with faulty_commits(migrated) as (through, commits):
        settings = through if with_key else several(through)
        async with serving(settings) as client:
            commits.faults = [fault]
            reply = await changed(client, send, KEY if with_key else {})
    assert commits.faults == []
    assert reply.status_code == 200, reply.text
    await asyncio.sleep(LATE_SECONDS if fault == "late" else 0)
    assert await count(database, "row_changes") == 1
    assert await count(database, "hired_employees") == (0 if send is delete else 1)


@pytest.mark.parametrize("with_key", [True, False])
@pytest.mark.parametrize(("fault", "done"), [("committed", 1), ("late", None), ("lost", 0)])
async def test_a_second_attempt_that_fails_reports_what_became_of_the_first(
    migrated: Settings, database: Database, fault: Fault, done: int | None, with_key: bool
) -> None:
    """It fails at once, so it does not wait for the first one.

    done: how often the request was done; None: a busy server may also drop a late COMMIT.
    """
    attempts = count_up()

    async def work(transaction: Transaction) -> Reply:
        if next(attempts):
            raise ChangedError("another change")
        await transaction.execute("INSERT INTO jobs (job) VALUES ('once')")
        return Reply(201, b"done")

    async with faulty_commits(migrated) as (through, commits), connect(through) as faulty:
        commits.faults = [fault]
        keys = Keys(faulty, 1)
        key = Key("admin", "POST /jobs", "k", "fingerprint")
        running = keys.once(key, work) if with_key else keys.confirmed(work)
        (outcome,) = await asyncio.gather(running, return_exceptions=True)
    await asyncio.sleep(LATE_SECONDS if fault == "late" else 0)
    ((jobs,),) = await database.fetch("SELECT COUNT(*) FROM jobs WHERE job = 'once'")
    assert done in (jobs, None)
    assert isinstance(outcome, Reply if jobs else ChangedError), outcome
    # The key of a request that was not done can be used again.
    assert await Keys(database, 1).once(key, lambda _: _again()) is not None


async def _again() -> Reply:
    return Reply(201, b"again")


@pytest.mark.parametrize("send", [correct, dismiss])
async def test_an_outcome_whose_commit_is_late_gets_its_own_reply(
    migrated: Settings, database: Database, send: Callable[..., Awaitable[httpx.Response]]
) -> None:
    async with (
        faulty_commits(migrated) as (through, commits),
        serving(several(through)) as client,
    ):
        key = await rejected(client, name=" ")
        commits.faults = ["late"]
        body = hire(name="Ada") if send is correct else {"reason": "a test"}
        reply = await send(client, key, body)
    assert commits.faults == []
    assert reply.is_success, reply.text
    await asyncio.sleep(LATE_SECONDS)
    assert await count(database, "reject_outcomes") == 1
    assert await count(database, "hired_employees") == (2 if send is correct else 1)


@pytest.mark.parametrize("send", [patch, delete])
async def test_of_the_same_change_in_two_processes_one_is_done_and_one_replayed(
    migrated: Settings, api: Client, database: Database, send: Send
) -> None:
    """Both have found no reply under the key, and wait for the lock of the row."""
    async with serving(migrated) as other:
        headers = KEY | {"If-Match": (await api.get(URL)).headers["ETag"]}
        async with database.transaction() as transaction:
            await transaction.execute("SELECT id FROM hired_employees WHERE id = 7 FOR UPDATE")
            both = [asyncio.ensure_future(send(client, headers)) for client in (api, other)]
            await asyncio.sleep(0.5)
        first, second = await asyncio.gather(*both)
    assert (first.status_code, second.status_code) == (200, 200), (first.text, second.text)
    assert first.content == second.content
    assert sum("Idempotency-Replayed" in one.headers for one in (first, second)) == 1
    assert await count(database, "row_changes") == 1
