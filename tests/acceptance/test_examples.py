"""The example clients against a real service: each row is written once, whatever fails."""

from __future__ import annotations

import asyncio
import csv
import gzip
import json
import re
import signal
import sys
import textwrap
from asyncio.subprocess import PIPE
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import httpx
import pytest

from examples.client import Client, Refused, Unavailable
from service.core.database.transactions import Database
from service.core.settings import Settings
from tests.conftest import PASSWORD, USER
from tests.support import engine
from tests.support.hires import hire
from tests.support.processes import free_port
from tests.support.program import ROOT, Ended, Service, environment
from tests.support.snippets import snippets
from tests.support.tcp_proxy import Proxy
from tests.support.waiting import until

ROWS = 8_000
BATCHES = 40
CUT_SECONDS = 0.015
REQUESTS = 4 * BATCHES
"""The requests until connections are no longer cut."""


@pytest.fixture
async def wire(service: Service) -> AsyncIterator[Proxy]:
    """A proxy in front of the service."""
    async with Proxy.to(partial(asyncio.open_connection, "127.0.0.1", service.port)) as proxy:
        yield proxy


@asynccontextmanager
async def running(settings: Settings, batches: int) -> AsyncIterator[Service]:
    """A service that runs this many batches at a time."""
    variables = engine.environment(settings) | {"API_MAX_BATCHES": str(batches)}
    variables.pop("API_PORT")
    service = await Service.started(**variables)
    yield service
    await service.end()


@pytest.fixture
async def narrow(settings_here: Settings) -> AsyncIterator[Service]:
    """A service that runs one batch at a time."""
    async with running(settings_here, 1) as service:
        yield service


@pytest.fixture
async def wide(settings_here: Settings) -> AsyncIterator[Proxy]:
    """A proxy in front of a service that refuses none of BATCHES at a time."""
    async with running(settings_here, BATCHES) as service:
        reach = partial(asyncio.open_connection, "127.0.0.1", service.port)
        async with Proxy.to(reach) as proxy:
            yield proxy


def connected(port: int, **options: Any) -> Any:
    return Client.connected(f"http://127.0.0.1:{port}", USER, PASSWORD, **options)


def named(*names: str) -> list[dict[str, Any]]:
    return [hire(name=name) for name in names]


async def names(database: Database) -> list[str]:
    return [name for (name,) in await database.fetch("SELECT name FROM hired_employees")]


async def command(
    module: str, *arguments: str, port: int, given: bytes = b"", until: Any = None
) -> Ended:
    """Run `python -m examples.…`; kill it with -9 when `until` is done."""
    variables = {"API_URL": f"http://127.0.0.1:{port}", "API_USER": USER, "API_PASS": PASSWORD}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", f"examples.{module}", *arguments),
        cwd=ROOT,
        env=environment(variables),
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
    )
    if until:
        await until
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGKILL)
    out, err = await process.communicate(given)
    return Ended(process.returncode, out.decode(), err.decode())


async def test_each_row_of_a_batch_has_its_verdict(parents: Database, service: Service) -> None:
    rows = [hire(name="Ada"), hire(name=" ", job_id=9), hire(name="Grace")]
    async with connected(service.port) as client:
        verdict = await client.post("employees", rows)
    first, none, last = verdict.ids
    assert none is None
    assert await parents.fetch("SELECT id, name FROM hired_employees ORDER BY id") == [
        (first, "Ada"),
        (last, "Grace"),
    ]
    (failure,) = verdict.failures
    assert (failure.index, failure.record) == (1, rows[1])
    assert {(error["field"], error["code"]) for error in failure.errors} == {
        ("name", "blank"),
        ("job_id", "not_found"),
    }


async def test_a_batch_whose_reply_is_lost_is_written_once(
    parents: Database, service: Service, wire: Proxy
) -> None:
    async with connected(wire.port) as client:
        wire.stall_at(b"POST /employees", heard=True)
        posting = asyncio.create_task(client.post("employees", named("Ada")))
        await until(partial(_is_written, parents), 20)
        wire.cut()
        wire.flow()
        verdict = await posting
    assert await parents.fetch("SELECT id FROM hired_employees") == [tuple(verdict.ids)]
    assert wire.accepted == 2


async def _is_written(database: Database) -> bool:
    return await names(database) != []


async def test_batches_on_killed_connections_are_written_once(
    parents: Database, wide: Proxy
) -> None:
    sent = Counter[str]()

    async def cut() -> None:
        # Not for ever: on a busy machine, a request may take longer than the pause between cuts.
        while sent.total() < REQUESTS:
            await asyncio.sleep(CUT_SECONDS)
            wide.cut()

    async def note(request: httpx.Request) -> None:
        sent[request.headers["Idempotency-Key"]] += 1

    batches = [[f"{batch}-{row}" for row in range(20)] for batch in range(BATCHES)]
    async with connected(wide.port) as client:
        client.http.event_hooks = {"request": [note]}
        cutting = asyncio.create_task(cut())
        verdicts = await asyncio.gather(
            *(client.post("employees", named(*batch)) for batch in batches)
        )
        cutting.cancel()
        # Each request that is no first one repeats a batch: after a refusal, or after a cut.
        assert sent.total() - len(batches) > client.refusals
    stored = await parents.fetch("SELECT id, name FROM hired_employees")
    written = [
        (number, name)
        for batch, verdict in zip(batches, verdicts, strict=True)
        for number, name in zip(verdict.ids, batch, strict=True)
    ]
    assert sorted(stored) == sorted(written)


async def test_refused_batches_are_repeated_until_they_are_written(
    parents: Database, narrow: Service
) -> None:
    async with connected(narrow.port) as client:
        await asyncio.gather(
            *(client.post("employees", named(str(number)) * 500) for number in range(12))
        )
        assert client.refusals > 0
    found = await names(parents)
    assert {name: found.count(name) for name in set(found)} == {str(at): 500 for at in range(12)}


@pytest.mark.parametrize("status", [502, 504])
async def test_a_batch_that_a_proxy_lost_is_repeated(
    parents: Database, service: Service, status: int
) -> None:
    """As HAProxy answers if it loses the replica that works on the request."""

    async def lose(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        assert length
        await reader.readexactly(int(length[1]))
        writer.write(b"HTTP/1.1 %d Lost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" % status)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(lose, "127.0.0.1", 0) as losing:
        ports = chain([losing.sockets[0].getsockname()[1]], repeat(service.port))
        async with (
            Proxy.to(lambda: asyncio.open_connection("127.0.0.1", next(ports))) as proxy,
            connected(proxy.port) as client,
        ):
            await client.post("employees", named("Ada"))
    assert await names(parents) == ["Ada"]
    assert proxy.accepted == 2


async def test_a_client_gives_up_after_its_patience() -> None:
    async with connected(free_port(), patience=0.5) as client:
        with pytest.raises(Unavailable, match="batch with the key my-key"):
            await client.post("jobs", [{"job": "Clerk"}], "my-key")


async def test_a_request_that_cannot_succeed_is_not_repeated(
    database: Database, service: Service
) -> None:
    async with connected(service.port) as client:
        with pytest.raises(Refused, match=r"422: .*A batch has 1 to 1000 rows"):
            await client.post("jobs", [])
        await client.post("jobs", [{"job": "Clerk"}], "used")
        with pytest.raises(Refused, match=r"422: .*Idempotency-Key"):
            await client.post("jobs", [{"job": "Other"}], "used")


async def test_the_client_as_a_command(parents: Database, service: Service) -> None:
    rows = json.dumps([hire(name="Ada"), hire(name=" ")]).encode()
    ended = await command("client", "employees", port=service.port, given=rows)
    assert (ended.code, ended.err) == (1, "")
    assert ended.out.splitlines()[1:] == ["row 1: name must not be blank"]
    assert await names(parents) == ["Ada"]


@pytest.fixture
def hires(tmp_path: Path) -> Path:
    """A file whose rows 2 and 5,001 are bad."""
    path = tmp_path / "hires.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(hire())
        for number in range(ROWS):
            name = " " if number in (1, 5000) else f"Person, the {number}."
            writer.writerow(hire(name=name).values())
    return path


async def test_a_file_is_uploaded_once(
    parents: Database, service: Service, hires: Path, tmp_path: Path
) -> None:
    rejects = tmp_path / "rejects.ndjson"
    upload = partial(
        command, "upload", "employees", str(hires), f"--rejects={rejects}", port=service.port
    )
    for _ in range(2):
        ended = await upload()
        assert (ended.code, ended.err) == (1, "")
        assert ended.out.startswith(f"{ROWS} rows sent, {ROWS - 2} written, 2 rejected, ")
        lines = [json.loads(line) for line in rejects.read_text(encoding="utf-8").splitlines()]
        assert sorted(line["line"] for line in lines) == [3, 5002]
        assert {*lines[0]["errors"]} == {"name is missing"}
    stored = await names(parents)
    assert len(stored) == len(set(stored)) == ROWS - 2


async def test_a_killed_upload_continues(parents: Database, service: Service, hires: Path) -> None:
    upload = partial(command, "upload", "employees", str(hires), port=service.port)
    killed = await upload(until=until(partial(_is_written, parents), 30))
    assert killed.code == -signal.SIGKILL
    ended = await upload()
    assert ended.code == 1, ended.err
    stored = await names(parents)
    assert len(stored) == len(set(stored)) == ROWS - 2


async def test_an_upload_adapts_to_a_busy_service(
    parents: Database, narrow: Service, hires: Path
) -> None:
    ended = await command("upload", "employees", str(hires), port=narrow.port)
    assert ended.code == 1, ended.err
    assert ended.out.startswith(f"{ROWS} rows sent, {ROWS - 2} written")
    async with narrow.client(USER, PASSWORD) as client:
        metrics = (await client.get("/metrics")).text
    refused = re.findall(r'request_seconds_count{.*status="503"} (.*)', metrics)
    assert refused
    assert sum(map(float, refused)) < ROWS / 1000


async def test_other_columns_and_gzip(database: Database, service: Service, tmp_path: Path) -> None:
    path = tmp_path / "jobs.csv.gz"
    path.write_bytes(gzip.compress(b'7;Clerk;x\n8;"Judge; retired";y\n9\n'))
    options = ("--columns=-,job,-", "--delimiter=;")
    ended = await command("upload", "jobs", str(path), *options, port=service.port)
    assert ended.out.startswith("3 rows sent, 3 written")
    assert await database.fetch("SELECT job FROM jobs ORDER BY job") == [
        ("9",),
        ("Clerk",),
        ("Judge; retired",),
    ]


async def test_an_upload_that_stops_says_so(service: Service, hires: Path) -> None:
    ended = await command("upload", "no-such-table", str(hires), port=service.port)
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert ended.err.startswith("404: ")


async def test_the_snippet_of_the_page_runs(
    database: Database, service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    snippet, _ = snippets("clients.md", f"127.0.0.1:{service.port}", PASSWORD)
    names: dict[str, Any] = {"Client": Client}
    exec(f"async def main():\n{textwrap.indent(snippet, '    ')}", names)
    await names["main"]()
    first, second = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"\[\d+, None\]", first)
    assert second.startswith("1 [{'field': 'job', 'code': 'blank'")
