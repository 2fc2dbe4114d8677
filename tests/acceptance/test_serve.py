"""`make run`: the service as a process, with a new embedded database and with a server."""

from __future__ import annotations

import asyncio
import re
import signal
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from service.core.settings import Settings
from tests.support import engine
from tests.support.passwords import hashed
from tests.support.processes import database_folder, servers_of
from tests.support.program import ROOT, Ended, Service, environment, run
from tests.support.tcp_proxy import Proxy

REAL_DATA = ROOT.parent / "shared" / "data"
SAMPLE = ROOT / "loader" / "sample"
REASONS = {
    REAL_DATA: {"name": 19, "datetime": 14, "department_id": 21, "job_id": 16},
    SAMPLE: {
        "malformed": 2,
        "id": 6,
        "name": 21,
        "datetime": 14,
        "department_id": 13,
        "job_id": 15,
    },
}
DATA = REAL_DATA if REAL_DATA.exists() else SAMPLE


@dataclass(frozen=True)
class Story:
    """The outcome of a first start with a load, and of a second start."""

    first: str
    counts: dict[str, int]
    other_password: int
    end: Ended
    left: list[int]
    second: str
    first_seconds: float
    seconds: float
    counts_again: dict[str, int]
    end_again: Ended
    user: str
    password: str


@pytest.fixture(scope="module")
async def story() -> AsyncIterator[Story]:
    with database_folder() as folder:
        yield await run_twice(folder)


async def run_twice(folder: Path) -> Story:
    variables = {
        "DATA_DIR": str(DATA),
        "EMBEDDED_DIR": str(folder / "var" / "seekdb"),
        "REJECTS_DIR": str(folder / "var" / "rejects"),
    }
    one, first_seconds = await started(variables)
    user, password = one.printed("User"), one.printed("Password")
    counts = await count(one, user, password)
    async with one.client(user, f"{password}x") as client:
        other = (await client.get("/departments")).status_code
    end = await one.end()
    left = await _left(folder / "var" / "seekdb")
    two, seconds = await started(variables)
    counts_again = await count(two, two.printed("User"), two.printed("Password"))
    return Story(
        first=one.text,
        counts=counts,
        other_password=other,
        end=end,
        left=left,
        second=two.text,
        first_seconds=first_seconds,
        seconds=seconds,
        counts_again=counts_again,
        end_again=await two.end(),
        user=user,
        password=password,
    )


async def started(variables: dict[str, str]) -> tuple[Service, float]:
    """The service, started with a load, and the seconds until it answered."""
    began = time.monotonic()
    service = await Service.started("--load", **variables)
    return service, time.monotonic() - began


async def count(service: Service, user: str, password: str) -> dict[str, int]:
    """The rows of every list, over HTTP."""
    async with service.client(user, password) as client:
        found: dict[str, int] = {}
        for path in ("departments", "jobs", "employees", "rejects"):
            rows, after = 0, 0
            while after is not None:
                reply = await client.get(f"/{path}", params={"after": after, "limit": 1000})
                rows, after = rows + len(reply.json()["rows"]), reply.json()["next"]
            found[path] = rows
    return found


async def _left(folder: Path) -> list[int]:
    """The processes of the embedded database that still run after 5 s."""
    for _ in range(100):
        if not servers_of(folder):
            break
        await asyncio.sleep(0.05)
    return servers_of(folder)


def test_the_history_is_loaded(story: Story) -> None:
    assert story.counts == {"departments": 12, "jobs": 183, "employees": 1929, "rejects": 70}


def test_the_start_prints_what_was_loaded_and_why_rows_were_rejected(story: Story) -> None:
    lines = {line.partition(":")[0]: line for line in story.first.splitlines()}
    assert "12 added" in lines["departments"]
    assert "183 added" in lines["jobs"]
    assert "1999 read, 1929 added" in lines["hired_employees"]
    assert "70 rejected" in lines["hired_employees"]
    reasons = dict(re.findall(r"(\w+) (\d+)(?=[,)])", lines["hired_employees"].partition("(")[2]))
    assert {name: int(number) for name, number in reasons.items()} == REASONS[DATA]


def test_the_start_prints_address_and_credentials(story: Story) -> None:
    assert re.search(r"^API: http://127\.0\.0\.1:\d+$", story.first, re.MULTILINE)
    assert story.user == "admin"
    assert len(story.password) >= 12
    assert story.other_password == 401


def test_only_the_first_start_migrates(story: Story) -> None:
    assert "0001 tables" in story.first
    assert "Migrated" not in story.second


def test_the_second_start_finds_its_data_and_is_quick(story: Story) -> None:
    assert story.counts_again == story.counts
    assert "No row was added or changed" in story.second
    # A busy machine needs more time.
    assert story.seconds < max(10, 2 * story.first_seconds)


def test_ctrl_c_ends_all_processes(story: Story) -> None:
    assert (story.end.code, story.end_again.code) == (0, 0)
    assert story.left == []
    assert "Traceback" not in story.end.err + story.end_again.err


def test_every_start_without_a_password_generates_a_new_one(story: Story) -> None:
    assert story.password not in story.second


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
async def test_with_mysql_host_the_service_uses_that_server(
    proxy: Proxy, migrated: Settings, scratch: Settings, how: signal.Signals
) -> None:
    settings = engine.through(proxy, scratch)
    service = await Service.started(**_without_port(engine.environment(settings)))
    assert f"{scratch.mysql_database} at 127.0.0.1:{proxy.port}" in service.text
    assert settings.api_pass not in service.text
    counts = await count(service, settings.api_user, settings.api_pass)
    assert counts == {"departments": 0, "jobs": 0, "employees": 0, "rejects": 0}
    assert (await service.end(how)).code == 0


def _without_port(variables: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in variables.items() if name != "API_PORT"}


@pytest.mark.parametrize(
    ("name", "user"), [("API_PASS_HASH", "admin"), ("API_USERS", "as listed in API_USERS")]
)
async def test_the_start_says_where_the_password_is_set(
    migrated: Settings, tmp_path: Path, name: str, user: str
) -> None:
    file = tmp_path / "users"
    file.write_text(f"etl:reader:{hashed('x')}")
    values = {"API_PASS_HASH": hashed("x"), "API_USERS": str(file)}
    variables = _without_port(engine.environment(migrated)) | {"API_PASS": "", name: values[name]}
    service = await Service.started(**variables)
    await service.end()
    assert (service.printed("User"), service.printed("Password")) == (user, f"as hashed in {name}")


async def test_a_password_is_required_with_mysql_host() -> None:
    ended = await run("service", "serve", MYSQL_HOST="127.0.0.1", MYSQL_PORT="1")
    assert ended.code == 2
    assert ended.err.startswith("hirebase: API_PASS")
    assert ended.err.count("\n") == 1


@pytest.mark.parametrize("host", ["127.0.0.1", "192.0.2.1", "no-such-host.invalid"])
async def test_an_address_that_cannot_be_used_names_the_variables(
    tmp_path: Path, host: str
) -> None:
    """A port in use, an address of another machine, no address."""
    taken = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = str(taken.sockets[0].getsockname()[1])
    folder = tmp_path / "seekdb"
    ended = await run("service", "serve", EMBEDDED_DIR=str(folder), API_HOST=host, API_PORT=port)
    taken.close()
    assert ended.code == 2
    assert ended.err.startswith(f"hirebase: API_HOST, API_PORT: cannot listen on {host}:{port}: ")
    assert ended.err.count("\n") == 1
    assert not folder.exists()


INTERRUPTED_IMPORT = """
import os, signal, sys, weakref

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "litestar.app":
            class Something: pass
            something = Something()
            callback = weakref.ref(something, lambda _: os.kill(os.getpid(), signal.{how}))
            del something
        return None

from service.__main__ import main
sys.meta_path.insert(0, Finder())
main(["serve"])
"""


@pytest.mark.parametrize("how", ["SIGINT", "SIGTERM"])
async def test_a_signal_in_the_import_of_the_application_is_not_lost(
    migrated: Settings, how: str
) -> None:
    """Python ignores an exception that a signal handler raises in the callback of a weakref."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", INTERRUPTED_IMPORT.format(how=how)),
        cwd=ROOT,
        env=environment(_without_port(engine.environment(migrated))),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(20):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    assert (process.returncode, out, err) == (0, b"", b"")
