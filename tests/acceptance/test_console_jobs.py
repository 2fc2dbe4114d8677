"""Jobs of the console in real processes: killed, followed from another, bounded in memory."""

from __future__ import annotations

import asyncio
import re
import resource
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from service.core.database.transactions import Database
from service.core.settings import Settings
from service.web.console.file_batches import LONGEST
from service.web.console.jobs import SILENT_SECONDS
from tests.conftest import PASSWORD, USER
from tests.support import engine
from tests.support.hires import count
from tests.support.processes import peak, resident
from tests.support.program import Service
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(240)
ROWS = 200_000
BAD_EVERY = 1000
BAD_ROWS = 100_000
MIB = 1 << 20
ALLOWED = 60
"""MiB that a load may add to a service that has done one before."""


async def started(settings: Settings) -> Service:
    variables = engine.environment(settings)
    variables.pop("API_PORT", None)
    return await Service.started(**variables)


@pytest.fixture
async def service(migrated: Settings, database: Database) -> AsyncIterator[Service]:
    service = await started(migrated)
    yield service
    with suppress(ProcessLookupError):
        await service.end(signal.SIGKILL)


@pytest.fixture
async def other(migrated: Settings, database: Database) -> AsyncIterator[Service]:
    """Another on the same database and folders."""
    service = await started(migrated)
    yield service
    await service.end()


async def begun(client: httpx.AsyncClient, url: str, **request: Any) -> str:
    reply = await client.post(url, **request, timeout=120)
    assert reply.status_code == 201, reply.text
    return str(reply.json()["job"])


async def followed(client: httpx.AsyncClient, job: str) -> list[dict[str, Any]]:
    """Every state that is told until the job runs no more."""
    reply = await client.get(f"/console/jobs/{job}/events", timeout=200)
    return [msgspec.json.decode(data) for data in re.findall(r"(?m)^data: (.*?)\r?$", reply.text)]


async def states(database: Database) -> set[str]:
    return {state for (state,) in await database.fetch("SELECT state FROM console_jobs")}


def ndjson() -> bytes:
    lines = (
        b'{"job": ""}' if number % BAD_EVERY == 0 else b'{"job": "Clerk %d"}' % number
        for number in range(ROWS)
    )
    return b"\n".join(lines)


async def test_a_load_whose_process_is_killed_is_finished_by_another_and_doubles_no_row(
    service: Service, other: Service, database: Database
) -> None:
    async with service.client(USER, PASSWORD) as one, other.client(USER, PASSWORD) as two:
        job = await begun(one, "/console/loads?table=jobs&name=j.ndjson", content=ndjson())
        assert (await followed(two, job))[-1]["state"] == "ready"
        confirm = f"/console/jobs/{job}/confirm"
        replies = await asyncio.gather(
            one.post(confirm, json={}),
            *(client.post(confirm, json={}) for client in (two, one, two)),
        )
        assert sorted(reply.status_code for reply in replies) == [201, 409, 409, 409]
        # Whichever of the two runs it is the one that is killed.
        runs_here = replies[0].status_code == 201 or replies[2].status_code == 201
        killed, left = (service, two) if runs_here else (other, one)
        await until(lambda: _some(database), 60)
        await killed.end(signal.SIGKILL)
        async with database.transaction() as transaction:
            await transaction.execute(
                "UPDATE console_jobs SET heartbeat_at = DATE_SUB(heartbeat_at, "
                f"INTERVAL {SILENT_SECONDS} SECOND)"
            )
        assert await count(database, "jobs") < ROWS - ROWS // BAD_EVERY
        assert (await followed(left, job))[-1]["state"] == "failed"
        await begun(left, confirm, json={})
        told = await followed(left, job)
        assert told[-1]["state"] == "done"
        good = ROWS - ROWS // BAD_EVERY
        ((row),) = told[-1]["rows"]
        assert (row["read"], row["added"], row["rejected"]) == (ROWS, good, ROWS // BAD_EVERY)
        assert await count(database, "jobs") == good
        assert await count(database, "rejects") == ROWS // BAD_EVERY
        rejects = (await left.get(f"/console/jobs/{job}/rejects")).text.splitlines()
        assert len(rejects) == 1 + ROWS // BAD_EVERY


async def _some(database: Database) -> bool:
    return await count(database, "jobs") > 0


async def test_a_load_is_followed_from_another_process(
    service: Service, other: Service, database: Database
) -> None:
    async with service.client(USER, PASSWORD) as one, other.client(USER, PASSWORD) as two:
        job = await begun(one, "/console/loads?table=jobs&name=j.ndjson", content=ndjson())
        await followed(two, job)
        await begun(one, f"/console/jobs/{job}/confirm", json={})
        told = await followed(two, job)
        assert told[-1]["state"] == "done"
        assert len({one["share"] for one in told}) > 2, "it was told on the way"
        assert (await two.get(f"/console/jobs/{job}/rejects")).status_code == 200


def forget_peak(pid: int) -> None:
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def long_line() -> Iterator[bytes]:
    yield b'{"job": "First"}\n{"job": "'
    for _ in range(200):
        yield b"x" * MIB
    yield b'"}\n{"job": "Last"}\n'


def open_quote() -> Iterator[bytes]:
    yield b'job\nFirst\n"never closed\n'
    for _ in range(70 * MIB // (1 << 16)):
        yield b"x" * ((1 << 16) - 1) + b"\n"


def bad_rows(line: bytes, header: bytes = b"") -> Iterator[bytes]:
    yield header
    for _ in range(BAD_ROWS // 1000):
        yield line * 1000


def bad_long_rows() -> Iterator[bytes]:
    for number in range(100):
        yield b"%d," % number + b"x" * (LONGEST - 100) + b"\n"


FILES = {
    "long line": ("j.ndjson", long_line, 1),
    "open quote": ("j.csv", open_quote, None),
    "bad rows": ("j.ndjson", lambda: bad_rows(b'{"job": ""}\n'), BAD_ROWS),
    "bad rows of CSV": ("j.csv", lambda: bad_rows(b'" "\n', b"job\n"), BAD_ROWS),
    "bad rows with ids": ("j.csv", lambda: bad_rows(b"x,Clerk\n"), BAD_ROWS),
    "long rows with ids": ("j.csv", bad_long_rows, 100),
}


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux tells the peak")
@pytest.mark.parametrize("what", FILES)
async def test_a_load_needs_the_same_memory_whatever_is_in_the_file(
    service: Service, database: Database, what: str
) -> None:
    name, pieces, rejected = FILES[what]
    async with service.client(USER, PASSWORD) as client:
        await _load(client, name, iter([b'{"job": "A"}\n' if "nd" in name else b"1,A\n"]))
        before = resident(service.pid)
        forget_peak(service.pid)
        job, told = await _load(client, name, pieces())
        added = peak(service.pid) - before
        assert told["state"] == "done"
        assert rejected in (told["rows"][0]["rejected"], None)
        assert added < ALLOWED
        rejects = await client.get(f"/console/jobs/{job}/rejects")
        if what == "long line":
            length = 200 * MIB + len('{"job": ""}')
            assert f"is {length} bytes long" in rejects.text
            assert (told["rows"][0]["added"], told["rows"][0]["read"]) == (2, 3)


async def _load(
    client: httpx.AsyncClient, name: str, pieces: Iterator[bytes]
) -> tuple[str, dict[str, Any]]:
    async def sent() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    job = await begun(client, f"/console/loads?table=jobs&name={name}", content=sent())
    assert (await followed(client, job))[-1]["state"] == "ready"
    await begun(client, f"/console/jobs/{job}/confirm", json={})
    return job, (await followed(client, job))[-1]


async def test_a_disk_that_is_full_in_an_upload_is_507_and_leaves_no_folder(
    service: Service, migrated: Settings, database: Database
) -> None:
    folder = migrated.rejects_dir / ".console"
    before = set(folder.glob("*"))
    resource.prlimit(service.pid, resource.RLIMIT_FSIZE, (MIB, MIB))
    async with service.client(USER, PASSWORD) as client:
        reply = await client.post("/console/loads?table=jobs&name=j.csv", content=b"x" * 2 * MIB)
        assert reply.status_code == 507
        assert "Make room" in reply.json()["detail"]
        assert set(folder.glob("*")) == before
        assert await states(database) == set()
