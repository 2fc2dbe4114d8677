"""Users: hashes, roles, and limits on attempts."""

from __future__ import annotations

import asyncio
import re
import time
import tracemalloc
from contextlib import suppress
from pathlib import Path

import httpx
import msgspec
import pytest
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from service.core.errors import SettingsError
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
from tests.conftest import HASHED_WITH, PASSWORD, USER, calling
from tests.support.program import ROOT
from tests.support.serving import listening

ROW = {"department": "Sales"}


def hashed(password: str) -> str:
    hasher = Argon2id(salt=b"16 bytes of salt", length=32, iterations=1, lanes=1, memory_cost=64)
    return hasher.derive_phc_encoded(password.encode())


@pytest.fixture
def several(migrated: Settings, tmp_path: Path) -> Settings:
    """Settings with a user of each role, password and name the same, beside API_USER."""
    file = tmp_path / "users"
    roles = ("reader", "writer", "operator", "reader,writer")
    lines = [f"{role.replace(',', '-')}:{role}:{hashed(role.replace(',', '-'))}" for role in roles]
    file.write_text("# who may do what\n\n" + "\n".join(lines) + "\n")
    return msgspec.structs.replace(migrated, api_users=file)


@pytest.mark.parametrize(
    ("user", "look", "post", "back_up"),
    [
        ("reader", 200, 403, 403),
        ("writer", 403, 201, 403),
        ("operator", 403, 403, 200),
        ("reader-writer", 200, 201, 403),
    ],
)
async def test_a_user_may_do_what_their_roles_allow(
    several: Settings, user: str, look: int, post: int, back_up: int
) -> None:
    async with calling(several) as client:
        client.auth = httpx.BasicAuth(user, user)
        assert (await client.get("/departments")).status_code == look
        assert (await client.post("/departments", json=ROW)).status_code == post
        assert (await client.get("/avro/backup/jobs")).status_code == back_up


async def test_a_403_names_the_missing_role(several: Settings) -> None:
    async with calling(several) as client:
        reply = await client.post("/departments", json=ROW, auth=("reader", "reader"))
    assert "writer" in reply.json()["detail"]
    assert reply.headers["Content-Type"] == "application/problem+json"


async def test_the_single_user_of_the_settings_may_do_everything(several: Settings) -> None:
    async with calling(several) as client:
        assert (await client.post("/departments", json=ROW)).status_code == 201
        assert (await client.get("/avro/backup/all")).status_code == 200


async def test_the_password_may_be_given_as_a_hash(migrated: Settings) -> None:
    settings = msgspec.structs.replace(migrated, api_pass="", api_pass_hash=hashed("right"))
    async with calling(settings) as client:
        assert (await client.get("/jobs", auth=("admin", "right"))).status_code == 200
        assert (await client.get("/jobs", auth=("admin", "wrong"))).status_code == 401


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


@pytest.fixture
def hashed_passwords(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """All passwords that are hashed in the test."""
    hash_and_compare, seen = User.matches, list[bytes]()

    def matches(user: User, password: bytes) -> bool:
        seen.append(password)
        return hash_and_compare(user, password)

    monkeypatch.setattr(User, "matches", matches)
    return seen


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


async def test_an_unknown_name_reveals_nothing_about_a_plain_password(
    hashed_passwords: list[bytes],
) -> None:
    users = Users([User.with_password("admin", "right")])
    assert await users.find("nobody", b"right", "1.2.3.4") is None
    assert hashed_passwords == [b"right"]


SLOW = Cost(iterations=2, lanes=1, memory_cost=1 << 15)
QUICK = Cost(iterations=2, lanes=1, memory_cost=1 << 13)


def costing(name: str, cost: Cost) -> User:
    hasher = Argon2id(salt=b"16 bytes of salt", length=32, **cost)
    return User(name, hasher.derive_phc_encoded(b"right"))


@pytest.mark.parametrize(
    "others",
    [[], [f"admin:reader:{costing('', SLOW).phc}"]],
    ids=["a plain password alone", "and one with a hash"],
)
async def test_an_unknown_user_takes_as_long_as_a_wrong_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, others: list[str]
) -> None:
    monkeypatch.setattr("service.web.access.users.ARGON2", SLOW)
    (tmp_path / "users").write_text("\n".join(others))
    users = Users.of(Settings(api_user="plain", api_pass="right", api_users=tmp_path / "users"))
    names = ["plain", "nobody", *(line.partition(":")[0] for line in others)]
    seconds = {name: min([await _seconds(users, name) for _ in range(4)]) for name in names}
    assert max(seconds.values()) < 3 * min(seconds.values())


async def test_an_unknown_user_costs_as_much_as_some_user_each_time() -> None:
    key = b"the same in every worker"
    known = [costing("slow", SLOW), costing("quick", QUICK)]
    workers = [Users(known, key), Users(known, key)]
    names = [f"nobody {number}" for number in range(40)]
    first, second = ([users._decoys.of(name).name for name in names] for users in workers)
    assert first == second
    assert set(first) == {"slow", "quick"}


def test_a_plain_password_is_hashed_as_the_documentation_shows() -> None:
    shown = re.search(r"m=(\d+),t=(\d+),p=(\d+)", (ROOT / "docs/security.md").read_text("utf-8"))
    assert shown
    told = dict(zip(("memory_cost", "iterations", "lanes"), map(int, shown.groups()), strict=True))
    assert told == HASHED_WITH


async def _seconds(users: Users, name: str) -> float:
    started = time.perf_counter()
    assert await users.find(name, b"wrong", "address") is None
    return time.perf_counter() - started


async def test_a_correct_password_is_hashed_once_a_minute() -> None:
    users = Users([costing("admin", Cost(iterations=4, lanes=1, memory_cost=1 << 15))])
    first = await _found(users)
    assert min([await _found(users) for _ in range(5)]) < first / 10


async def _found(users: Users) -> float:
    started = time.perf_counter()
    assert await users.find("admin", b"right", "address")
    return time.perf_counter() - started


@pytest.mark.parametrize(
    "line", ["admin", "admin:reader", ":reader:$argon2id$x", "a:king:$argon2id$x", "a:reader:plain"]
)
def test_an_invalid_line_is_named(tmp_path: Path, line: str) -> None:
    file = tmp_path / "users"
    file.write_text(f"# first\n{line}\n")
    with pytest.raises(SettingsError, match="API_USERS: line 2"):
        Users.of(Settings(api_users=file))


def test_settings_without_a_user_are_refused() -> None:
    with pytest.raises(SettingsError, match="API_PASS"):
        Users.of(Settings())
