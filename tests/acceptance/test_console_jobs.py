"""Jobs of the console in real processes: killed, watched from another, limited in memory."""

from __future__ import annotations

import asyncio
import resource
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.core.database.transactions import Database
from service.core.settings import Settings
from service.web.console.jobs import SILENT_SECONDS, token
from service.web.console.loads.batches import LONGEST
from tests.conftest import PASSWORD, USER
from tests.support import engine
from tests.support.console import age_jobs, begin, events, start, upload
from tests.support.hires import count
from tests.support.processes import peak, resident
from tests.support.program import Service
from tests.support.waiting import until

ROWS = 200_000
KEY = 900_000
"""A job without an id gets a smaller one."""
BAD_EVERY = 1000
BAD_ROWS = 100_000
MIB = 1 << 20
ALLOWED = 60
"""MiB that a load may add to an experienced service."""


async def new_service(settings: Settings) -> Service:
    variables = engine.environment(settings)
    variables.pop("API_PORT", None)
    return await Service.started(**variables)


@pytest.fixture
async def service(migrated: Settings, database: Database) -> AsyncIterator[Service]:
    service = await new_service(migrated)
    yield service
    with suppress(ProcessLookupError):
        await service.end(signal.SIGKILL)


@pytest.fixture
async def other(migrated: Settings, database: Database) -> AsyncIterator[Service]:
    """Another service on the same database and folders."""
    service = await new_service(migrated)
    yield service
    await service.end()


@dataclass(frozen=True)
class Experienced:
    """A service that has done a load of each kind, and its memory afterwards, in MiB."""

    service: Service
    resident: float


@pytest.fixture(scope="module")
async def experienced(migrated: Settings) -> AsyncIterator[Experienced]:
    service = await new_service(migrated)
    async with service.client(USER, PASSWORD) as client:
        for name, content in (("j.ndjson", b'{"job": "A"}\n'), ("j.csv", b"1,A\n")):
            await _load(client, name, iter([content]))
    yield Experienced(service, resident(service.pid))
    await service.end()


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
        job = await begin(one, "j.ndjson", ndjson())
        assert (await events(two, job))[-1]["state"] == "ready"
        confirm = f"/console/jobs/{job}/confirm"
        replies = await asyncio.gather(
            one.post(confirm, json={}),
            *(client.post(confirm, json={}) for client in (two, one, two)),
        )
        assert sorted(reply.status_code for reply in replies) == [201, 409, 409, 409]
        # The service that runs the job is killed.
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
        assert (await events(left, job))[-1]["state"] == "failed"
        await start(left, confirm, json={})
        progress = await events(left, job)
        assert progress[-1]["state"] == "done"
        good = ROWS - ROWS // BAD_EVERY
        (row,) = progress[-1]["rows"]
        assert (row["read"], row["added"], row["rejected"]) == (ROWS, good, ROWS // BAD_EVERY)
        assert await count(database, "jobs") == good
        assert await count(database, "rejects") == ROWS // BAD_EVERY
        rejects = (await left.get(f"/console/jobs/{job}/rejects")).text.splitlines()
        assert len(rejects) == 1 + ROWS // BAD_EVERY


async def test_a_load_of_several_files_that_is_killed_continues_in_its_file(
    service: Service, other: Service, database: Database
) -> None:
    hires = b"".join(
        b"%d,Ana,2021-01-05T10:00:00Z,1,%d\n" % (n, KEY + n % 100) for n in range(1, ROWS)
    )
    jobs = b'{"job": "A"}\n', b"%d,B\n" % (KEY + 1)
    files = [("employees.csv", hires), ("jobs.ndjson", jobs[0]), ("jobs.csv", jobs[1])]
    tables = {0: "employees", 1: "jobs", 2: "jobs", 3: "departments"}
    async with service.client(USER, PASSWORD) as one, other.client(USER, PASSWORD) as two:
        upload_id = await upload(one, *files, ("departments.csv", b"1,Sales\n"))
        wanted = {"upload": upload_id, "tables": tables}
        job = await start(one, "/console/loads", json=wanted)
        await events(two, job)
        await start(one, f"/console/jobs/{job}/confirm", json={})
        await until(lambda: _some(database, "hired_employees"), 60)
        await service.end(signal.SIGKILL)
        await age_jobs(database, SILENT_SECONDS + 1)
        last = (await events(two, job))[-1]
        assert last["state"] == "failed"
        stored = await count(database, "hired_employees")
        await start(two, f"/console/jobs/{job}/confirm", json={})
        last = (await events(two, job))[-1]
        assert last["state"] == "done"
        added = [(row["file"], row["added"], row["rejected"]) for row in last["rows"]]
    assert added[:3] == [("departments.csv", 1, 0), ("jobs.ndjson", 1, 0), ("jobs.csv", 1, 0)]
    assert added[3][1] + added[3][2] == ROWS - 1
    assert await count(database, "jobs") == 2
    assert stored < await count(database, "hired_employees") == added[3][1]
    assert await count(database, "rejects") == added[3][2]


async def _some(database: Database, table: str = "jobs") -> bool:
    return await count(database, table) > 0


async def test_a_load_is_watched_from_another_process(
    service: Service, other: Service, database: Database
) -> None:
    async with service.client(USER, PASSWORD) as one, other.client(USER, PASSWORD) as two:
        job = await begin(one, "j.ndjson", ndjson())
        await events(two, job)
        await start(one, f"/console/jobs/{job}/confirm", json={})
        progress = await events(two, job)
        assert progress[-1]["state"] == "done"
        assert len({one["share"] for one in progress}) > 2
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


@pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="only Linux shows peak memory"
)
@pytest.mark.parametrize("what", FILES)
async def test_a_load_needs_the_same_memory_whatever_is_in_the_file(
    experienced: Experienced, database: Database, what: str
) -> None:
    """Compared with the memory before the first of these files, so that nothing adds up."""
    name, pieces, rejected = FILES[what]
    service = experienced.service
    async with service.client(USER, PASSWORD) as client:
        forget_peak(service.pid)
        job, last = await _load(client, name, pieces())
        added = peak(service.pid) - experienced.resident
        assert last["state"] == "done"
        assert rejected in (last["rows"][0]["rejected"], None)
        assert added < ALLOWED
        rejects = await client.get(f"/console/jobs/{job}/rejects")
        if what == "long line":
            length = 200 * MIB + len('{"job": ""}')
            assert f"is {length} bytes long" in rejects.text
            assert (last["rows"][0]["added"], last["rows"][0]["read"]) == (2, 3)


async def _load(
    client: httpx.AsyncClient, name: str, pieces: Iterator[bytes]
) -> tuple[str, dict[str, Any]]:
    async def sent() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    job = await begin(client, name, sent())
    assert (await events(client, job))[-1]["state"] == "ready"
    await start(client, f"/console/jobs/{job}/confirm", json={})
    return job, (await events(client, job))[-1]


async def test_a_full_disk_during_an_upload_is_507_and_leaves_no_folder(
    service: Service, migrated: Settings, database: Database
) -> None:
    folder = migrated.rejects_dir / ".console"
    before = set(folder.glob("*"))
    resource.prlimit(service.pid, resource.RLIMIT_FSIZE, (MIB, MIB))
    async with service.client(USER, PASSWORD) as client:
        reply = await client.post(
            f"/console/uploads/{token()}/0?name=j.csv", content=b"x" * 2 * MIB
        )
        assert reply.status_code == 507
        assert "Make room" in reply.json()["detail"]
        assert set(folder.glob("*")) == before
        assert await states(database) == set()
