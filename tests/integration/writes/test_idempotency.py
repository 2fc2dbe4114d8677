"""A request with a key is done once: alone, concurrently, and in several processes."""

from __future__ import annotations

import asyncio
import gzip
from typing import Any

import httpx
import msgspec
import pytest

from service.core.database.statements import Transaction
from service.core.database.transactions import Database
from service.core.settings import Settings
from service.core.writes.idempotency import Key, Keys, Reply
from tests.support.hires import count, hire, names
from tests.support.serving import serving

pytestmark = pytest.mark.usefixtures("parents")

Client = httpx.AsyncClient
ROWS = [hire(name="first"), hire(name=" "), hire(name="third"), hire(job_id=99)]
EXPIRE = (
    "UPDATE idempotency_keys SET expires_at = DATE_SUB(CURRENT_TIMESTAMP(6), INTERVAL 1 SECOND)"
)


async def send(
    client: Client, key: str = "key", url: str = "/employees", rows: Any = None, **headers: str
) -> httpx.Response:
    """Post a batch with a key."""
    body = msgspec.json.encode(ROWS if rows is None else rows)
    return await client.post(url, content=body, headers={"Idempotency-Key": key} | headers)


async def test_the_same_request_has_the_same_reply_and_happens_once(
    api: Client, database: Database
) -> None:
    first, again, slash = [await send(api, url=f"/employees{end}") for end in ("", "", "/")]
    assert first.status_code == again.status_code == slash.status_code == 207
    assert first.content == again.content == slash.content
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == slash.headers["Idempotency-Replayed"] == "true"
    assert sorted((await names(database)).values()) == ["first", "third"]
    assert await count(database, "rejects") == 2


@pytest.mark.parametrize(
    ("rows", "url", "status"),
    [
        ([hire(name="")], "/employees", 422),
        ([hire(), hire(name="")], "/employees?mode=atomic", 422),
        ([hire()], "/employees", 201),
    ],
)
async def test_every_reply_is_replayed_and_rejects_are_logged_once(
    api: Client, database: Database, rows: list[Any], url: str, status: int
) -> None:
    first, again = [await send(api, rows=rows, url=url) for _ in range(2)]
    assert first.status_code == again.status_code == status
    assert first.content == again.content
    assert again.headers["Idempotency-Replayed"] == "true"
    assert await count(database, "rejects") == (0 if status == 201 else 1)


async def test_a_minimal_reply_is_replayed_as_such(api: Client) -> None:
    first, again = [await send(api, Prefer="return=minimal") for _ in range(2)]
    assert first.content == again.content
    assert "ids" not in again.json()
    assert again.headers["Preference-Applied"] == "return=minimal"


@pytest.mark.parametrize(
    "other",
    [
        {"rows": [hire()]},
        {"url": "/employees?mode=atomic"},
        {"Prefer": "return=minimal"},
        {"Content-Type": "application/x-ndjson"},
    ],
)
async def test_another_request_under_the_same_key_is_refused(
    api: Client, database: Database, other: dict[str, Any]
) -> None:
    await send(api)
    reply = await send(api, **other)
    assert reply.status_code == 422
    assert reply.headers["Content-Type"] == "application/problem+json"
    assert "Idempotency-Key" in reply.json()["detail"]
    assert await count(database, "hired_employees") == 2
    assert (await send(api)).headers["Idempotency-Replayed"] == "true"


async def test_a_body_with_other_compression_is_the_same_body(
    api: Client, database: Database
) -> None:
    body = msgspec.json.encode(ROWS)
    headers = {"Idempotency-Key": "key", "Content-Encoding": "gzip"}
    replies = [
        await api.post("/employees", content=gzip.compress(body, mtime=at), headers=headers)
        for at in (1, 2)
    ]
    replies.append(await send(api))
    assert len({reply.content for reply in replies}) == 1
    assert await count(database, "hired_employees") == 2


async def test_a_key_belongs_to_its_route(api: Client, database: Database) -> None:
    replies = [await send(api, url=f"/{path}", rows={path[:-1]: "x"}) for path in PARENTS]
    assert [reply.status_code for reply in replies] == [201, 201]
    assert not any("Idempotency-Replayed" in reply.headers for reply in replies)


PARENTS = ("departments", "jobs")


@pytest.mark.parametrize(
    "key", ["k", "k" * 255, "a key; with, \"all\" 'of' it%s\\", "8e03978e-40d5"]
)
async def test_a_key_has_up_to_255_characters(api: Client, database: Database, key: str) -> None:
    replies = [await send(api, key) for _ in range(2)]
    assert replies[1].headers["Idempotency-Replayed"] == "true"
    assert await database.fetch("SELECT request_key FROM idempotency_keys") == [(key,)]


@pytest.mark.parametrize("key", [b"", b"k" * 256, "ключ".encode(), b"caf\xe9", b"a\tb", b"a\x7f"])
async def test_other_keys_are_refused_and_write_nothing(
    api: Client, database: Database, key: bytes
) -> None:
    reply = await api.post("/employees", json=ROWS, headers=[(b"Idempotency-Key", key)])
    assert reply.status_code == 400
    assert "Idempotency-Key" in reply.json()["detail"]
    assert await count(database, "hired_employees") == 0


async def test_a_key_in_several_lines_is_not_the_key_of_one_of_them(
    api: Client, database: Database
) -> None:
    """A program that adds a line of its own to each request must not get replies to others."""
    sent = [["own", "a"], ["own", "b"], ["own", "a"], ["own"], ["a"]]
    replies = [
        await api.post("/employees", json=ROWS, headers=[("Idempotency-Key", key) for key in keys])
        for keys in sent
    ]
    replayed = ["Idempotency-Replayed" in reply.headers for reply in replies]
    assert replayed == [False, False, True, False, False]
    assert await count(database, "hired_employees") == 8


@pytest.mark.parametrize("body", [b"[", b"[]", b"\xff"])
async def test_an_invalid_batch_does_not_use_up_its_key(api: Client, body: bytes) -> None:
    headers = {"Idempotency-Key": "key"}
    assert (await api.post("/employees", content=body, headers=headers)).is_client_error
    assert (await send(api)).status_code == 207


async def test_while_the_first_request_runs_the_key_is_busy(
    api: Client, database: Database
) -> None:
    async with database.transaction() as transaction:
        await transaction.execute("UPDATE jobs SET job = 'held' WHERE id = 1")
        first = asyncio.create_task(send(api))
        await asyncio.sleep(0.3)
        busy = await send(api)
        assert not first.done()
    assert busy.status_code == 409
    assert int(busy.headers["Retry-After"]) >= 1
    assert busy.headers["Content-Type"] == "application/problem+json"
    assert (await first).status_code == 207
    assert (await send(api)).content == (await first).content
    assert await count(database, "hired_employees") == 2


async def test_of_many_concurrent_requests_one_is_done(api: Client, database: Database) -> None:
    replies = await asyncio.gather(*(send(api) for _ in range(20)))
    assert {reply.status_code for reply in replies} <= {207, 409}
    assert len({reply.content for reply in replies if reply.status_code == 207}) == 1
    assert await count(database, "hired_employees") == 2
    assert await count(database, "rejects") == 2


async def test_of_many_requests_to_two_processes_one_is_done(
    api: Client, migrated: Settings, database: Database
) -> None:
    async with serving(migrated) as other:
        for number in range(10):
            replies = await asyncio.gather(
                *(send(one, f"key {number}") for one in (api, other, api, other))
            )
            done = [reply for reply in replies if reply.status_code == 207]
            assert {reply.status_code for reply in replies} <= {207, 409}
            assert len({reply.content for reply in done}) == 1
            assert sum("Idempotency-Replayed" not in reply.headers for reply in done) == 1
    assert await count(database, "hired_employees") == 20
    assert await count(database, "rejects") == 20


async def test_an_expired_key_is_a_new_one(api: Client, database: Database) -> None:
    first = await send(api)
    await _execute(database, EXPIRE)
    second, third = await send(api), await send(api, rows=[hire()])
    assert second.json()["ids"] != first.json()["ids"]
    assert "Idempotency-Replayed" not in second.headers
    assert third.status_code == 422
    assert await count(database, "hired_employees") == 4


async def test_of_several_processes_that_find_an_expired_key_one_reuses_it(
    database: Database,
) -> None:
    key = Key("admin", "POST /jobs", "key", "fingerprint")

    async def work(transaction: Transaction) -> Reply:
        await transaction.execute("INSERT INTO jobs (job) VALUES ('once')")
        await asyncio.sleep(0.3)
        return Reply(201, b"done")

    await Keys(database, 24).once(key, work)
    await _execute(database, EXPIRE)
    replies = await asyncio.gather(*(Keys(database, 24).once(key, work) for _ in range(3)))
    assert sorted(reply.replayed for reply in replies) == [False, True, True]
    assert await database.fetch("SELECT COUNT(*) FROM jobs WHERE job = 'once'") == [(2,)]


async def test_keys_expire_after_the_time_in_limits(api: Client, database: Database) -> None:
    limits = (await api.get("/limits")).json()
    await send(api)
    ((kept,),) = await database.fetch(
        "SELECT TIMESTAMPDIFF(SECOND, CURRENT_TIMESTAMP(6), expires_at) FROM idempotency_keys"
    )
    assert limits["idempotency_key_seconds"] - 60 <= kept <= limits["idempotency_key_seconds"]
    assert limits["idempotency_key_characters"] == 255


async def _execute(database: Database, statement: str) -> None:
    async with database.transaction() as transaction:
        await transaction.execute(statement)
