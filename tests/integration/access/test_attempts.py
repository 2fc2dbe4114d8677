"""Limits on attempts to sign in."""

from __future__ import annotations

import asyncio
import tracemalloc
from contextlib import suppress

import pytest

from service.core.settings import Settings
from service.web.access.users import (
    FAILURES,
    QUEUED,
    QUEUED_PER_ADDRESS,
    REMEMBERED_SECONDS,
    Cost,
    TooManyAttempts,
    User,
    Users,
)
from tests.conftest import PASSWORD, USER, calling
from tests.support.passwords import QUICK, SLOW, costing
from tests.support.serving import listening


async def test_guesses_are_limited_and_a_remembered_password_still_works(
    migrated: Settings,
) -> None:
    async with calling(migrated) as client:
        assert (await client.get("/jobs")).status_code == 200
        for _ in range(FAILURES):
            assert (await client.get("/jobs", auth=("admin", "guess"))).status_code == 401
        refused = await client.get("/jobs", auth=("admin", "guess"))
        assert refused.status_code == 429
        assert 1 <= int(refused.headers["Retry-After"]) <= 61
        assert (await client.get("/jobs")).status_code == 200
        assert (await client.get("/jobs", auth=("another", "guess"))).status_code == 401


async def test_the_correct_password_is_refused_after_too_many_wrong_ones() -> None:
    users = Users([User.with_password("admin", "right")])
    for _ in range(FAILURES):
        assert await users.find("admin", b"wrong", "1.2.3.4") is None
    with pytest.raises(TooManyAttempts):
        await users.find("admin", b"right", "1.2.3.4")
    assert await users.find("admin", b"right", "5.6.7.8")


@pytest.mark.parametrize("user", ["reader", USER, "nobody"])
async def test_concurrent_guesses_are_limited_like_sequential_ones(
    several: Settings, hashed_passwords: list[bytes], user: str
) -> None:
    """A user with a hash, the one with a plain password, and none."""
    right = PASSWORD if user == USER else user
    guesses = [f"guess {number}" for number in range(60)]
    async with listening(several) as client:
        for _ in range(2):
            replies = await asyncio.gather(
                *(client.get("/jobs", auth=(user, guess)) for guess in guesses)
            )
            assert {reply.status_code for reply in replies} <= {401, 429}
        assert (await client.get("/jobs", auth=(user, right))).status_code == 429
    assert len(hashed_passwords) == FAILURES


async def test_a_correct_password_among_guesses_allows_no_more_guesses(
    several: Settings, hashed_passwords: list[bytes]
) -> None:
    passwords = [*(f"guess {number}" for number in range(5)), "reader"]
    passwords += [f"guess {number}" for number in range(5, 40)]
    async with listening(several) as client:
        replies = await asyncio.gather(
            *(client.get("/jobs", auth=("reader", password)) for password in passwords)
        )
    assert {reply.status_code for reply in replies} <= {200, 401, 429}
    assert len(set(hashed_passwords) - {b"reader"}) <= FAILURES


@pytest.mark.parametrize("user", ["reader", USER])
async def test_concurrent_correct_requests_share_one_check(
    several: Settings, hashed_passwords: list[bytes], user: str
) -> None:
    password = PASSWORD if user == USER else user
    async with listening(several) as client:
        replies = await asyncio.gather(
            *(client.get("/jobs", auth=(user, password)) for _ in range(50))
        )
        assert {reply.status_code for reply in replies} == {200}
        assert len(hashed_passwords) == (0 if user == USER else 1)  # what is plain needs no hashing
        for _ in range(FAILURES):
            assert (await client.get("/jobs", auth=(user, "wrong"))).status_code == 401


async def test_a_flood_of_passwords_does_not_block_other_addresses(
    hashed_passwords: list[bytes],
) -> None:
    """Even if it sends a different name each time."""
    users = Users([costing("hashed", SLOW), User.with_password("plain", "right")])

    async def guess(number: int) -> User | None:
        return await users.find(f"name {number}", b"x", f"2001:db8::{number:x}")

    flood = asyncio.gather(*(guess(number) for number in range(1000)), return_exceptions=True)
    await asyncio.sleep(0)
    assert await users.find("plain", b"right", "2001:db8::1")
    assert await users.find("hashed", b"right", "1.2.3.4")
    assert len(hashed_passwords) <= QUEUED_PER_ADDRESS + 1
    refused = [error for error in await flood if isinstance(error, TooManyAttempts)]
    assert len(refused) == 1000 - QUEUED_PER_ADDRESS
    assert {error.seconds for error in refused} == {1}
    assert not users._queued
    assert await guess(1000) is None


async def test_concurrent_checks_of_hashes_with_several_lanes_do_not_deadlock() -> None:
    users = Users([costing("admin", Cost(iterations=1, lanes=4, memory_cost=1 << 10))])
    async with asyncio.timeout(30):
        for number in range(30):
            guesses = (users.find(f"{number} {at}", b"x", "1.2.3.4") for at in range(8))
            assert await asyncio.gather(*guesses) == [None] * 8


async def test_the_queue_is_limited_over_all_addresses() -> None:
    users = Users([costing("admin", QUICK)])
    guesses = [users.find("admin", b"x", f"10.0.{number}.1") for number in range(200)]
    found = await asyncio.gather(*guesses, return_exceptions=True)
    assert found.count(None) == QUEUED


async def test_attempts_with_long_names_use_little_memory() -> None:
    users = Users([costing("admin", Cost(iterations=1, lanes=1, memory_cost=8))])
    tracemalloc.start()
    try:
        for number in range(200):
            assert await users.find(f"{number}" * 20_000, b"x", "1.2.3.4") is None
        assert tracemalloc.get_traced_memory()[0] < 1 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff:2", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("1.2.3.4", "1.2.3.5", False),
        ("::ffff:1.2.3.4", "::ffff:1.2.3.5", False),
        ("::ffff:1.2.3.4", "1.2.3.4", True),
        ("not an address", "not an address", True),
        ("", "1.2.3.4", False),
    ],
)
async def test_attempts_count_for_the_network_of_a_client(one: str, other: str, same: bool) -> None:
    users = Users([costing("admin", QUICK)])
    for number in range(FAILURES):
        assert await users.find("admin", b"%d" % number, one) is None
    if same:
        with pytest.raises(TooManyAttempts):
            await users.find("admin", b"right", other)
    else:
        assert await users.find("admin", b"right", other)


async def test_a_client_in_use_is_not_locked_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """By guesses from the same address: each use extends the remembered password."""
    clock = Clock()
    monkeypatch.setattr("service.web.access.users.time", clock)
    users = Users([costing("admin", QUICK)])
    assert await users.find("admin", b"right", "1.2.3.4")
    for number in range(3):
        clock.now += REMEMBERED_SECONDS / 2
        for guess in range(FAILURES + 1):
            with suppress(TooManyAttempts):
                await users.find("admin", b"%d %d" % (number, guess), "1.2.3.4")
        assert await users.find("admin", b"right", "1.2.3.4")
    clock.now += REMEMBERED_SECONDS
    assert await users.find("admin", b"wrong", "1.2.3.4") is None


class Clock:
    """A time that the test sets."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now


async def test_a_correct_password_is_not_an_attempt() -> None:
    users = Users([User.with_password("admin", "right")])
    for address in ("1.2.3.4", "5.6.7.8"):
        assert await users.find("admin", b"right", address)
    users._remembered.clear()
    for number in range(FAILURES):
        assert await users.find("admin", b"%d" % number, "1.2.3.4") is None
    with pytest.raises(TooManyAttempts):
        await users.find("admin", b"right", "1.2.3.4")


@pytest.mark.parametrize(
    "user", [User.with_password("admin", "right"), None], ids=["plain", "hash"]
)
async def test_a_remembered_password_does_not_help_other_addresses(user: User | None) -> None:
    users = Users([user or costing("admin", QUICK)])
    assert await users.find("admin", b"right", "1.2.3.4")
    for number in range(FAILURES):
        assert await users.find("admin", b"%d" % number, "5.6.7.8") is None
    with pytest.raises(TooManyAttempts):
        await users.find("admin", b"right", "5.6.7.8")
    assert await users.find("admin", b"right", "1.2.3.4")
