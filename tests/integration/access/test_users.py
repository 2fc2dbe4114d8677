"""Users: hashes, roles, and limits on attempts."""

from __future__ import annotations

import re
import time
from pathlib import Path

import httpx
import msgspec
import pytest

from service.core.errors import SettingsError
from service.core.settings import Settings
from service.web.access.users import (
    Cost,
    User,
    Users,
)
from tests.conftest import HASHED_WITH, calling
from tests.support.passwords import QUICK, SLOW, costing, hashed
from tests.support.program import ROOT

ROW = {"department": "Sales"}


@pytest.mark.parametrize(
    ("user", "look", "post", "back_up"),
    [
        ("reader", 200, 403, 403),
        ("writer", 403, 201, 403),
        ("operator", 403, 403, 200),
        ("reader-writer", 200, 201, 403),
    ],
)
async def test_roles_limit_what_a_user_may_do(
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


async def test_an_unknown_name_reveals_nothing_about_a_plain_password(
    hashed_passwords: list[bytes],
) -> None:
    users = Users([User.with_password("admin", "right")])
    assert await users.find("nobody", b"right", "1.2.3.4") is None
    assert hashed_passwords == [b"right"]


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
    first, second = ([users.decoy(name).name for name in names] for users in workers)
    assert first == second
    assert set(first) == {"slow", "quick"}


def test_a_plain_password_is_hashed_as_the_documentation_shows() -> None:
    shown = re.search(r"m=(\d+),t=(\d+),p=(\d+)", (ROOT / "docs/security.md").read_text("utf-8"))
    assert shown
    parameters = dict(
        zip(("memory_cost", "iterations", "lanes"), map(int, shown.groups()), strict=True)
    )
    assert parameters == HASHED_WITH


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
