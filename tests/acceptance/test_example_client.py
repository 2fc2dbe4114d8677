"""The example client against a real service: each row is written once, whatever fails."""

from __future__ import annotations

import asyncio
import json
import re
import textwrap
from collections import Counter
from collections.abc import AsyncIterator
from functools import partial
from itertools import chain, repeat
from typing import Any

import httpx
import pytest

from examples.client import Client, Refused, Unavailable
from service.core.database.transactions import Database
from service.core.settings import Settings
from tests.conftest import PASSWORD, USER
from tests.support.example_clients import command, is_written, names, running
from tests.support.hires import hire
from tests.support.processes import free_port
from tests.support.program import Service
from tests.support.snippets import snippets
from tests.support.tcp_proxy import Proxy
from tests.support.waiting import until

BATCHES = 40
CUT_SECONDS = 0.015
REQUESTS = 4 * BATCHES
"""The requests until connections are no longer cut."""


@pytest.fixture
async def wire(service: Service) -> AsyncIterator[Proxy]:
    """A proxy in front of the service."""
    async with Proxy.to(partial(asyncio.open_connection, "127.0.0.1", service.port)) as proxy:
        yield proxy


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


async def test_a_batch_whose_reply_is_lostis_written_once(
    parents: Database, service: Service, wire: Proxy
) -> None:
    async with connected(wire.port) as client:
        wire.stall_at(b"POST /employees", heard=True)
        posting = asyncio.create_task(client.post("employees", named("Ada")))
        await until(partial(is_written, parents), 20)
        wire.cut()
        wire.flow()
        verdict = await posting
    assert await parents.fetch("SELECT id FROM hired_employees") == [tuple(verdict.ids)]
    assert wire.accepted == 2


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
