"""Small batches beside a bare loop of transactions, and the time of requests below the maximum."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from itertools import count, cycle

import aiomysql

from service.core.settings import Settings
from tests.benchmarks import server
from tests.benchmarks.batches import INSERT, body, empty, options_of, prepared, rows
from tests.benchmarks.costs import costs
from tests.benchmarks.figures import Figure, beside, single
from tests.support import load

CLIENTS = 32
BATCHES = {1: (20_000, 0.5), 10: (10_000, 0.6), 100: (3000, 0.85)}
"""Rows of a batch: how many batches one run posts, and the wanted part of the bare loop's rate."""
RUNS = 5
PERCENTILES = (50, 90, 99)
SHARES = (50, 80)
"""Percent of the maximum rate at which requests are timed."""
KEYS = count()


async def figures(url: str, *, short: bool = False) -> AsyncGenerator[Figure]:
    """All figures of this module, on the server at `url`."""
    settings = await prepared(url, "bench_requests")
    for workers in (1, 2, 4):
        # As many batches at a time as there are clients, so that none is refused.
        with server.service(
            settings, workers=workers, API_MAX_BATCHES=str(CLIENTS), MYSQL_POOL_SIZE=str(CLIENTS)
        ) as (port, pid):
            bench = Bench(settings, port, pid, workers)
            for size in BATCHES:
                part, runs = (20, 2) if short else (1, RUNS)
                for keyed in (False, True):
                    for figure in await bench.beside_bare_loop(size, part, runs, keyed=keyed):
                        yield figure
            if workers == 1:
                async for figure in bench.times(1 if short else 15):
                    yield figure
    for figure in await costs(settings, _messages, part=20 if short else 1):
        yield figure


class Bench:
    """Posts batches to a service, and writes the same rows without it."""

    def __init__(self, settings: Settings, port: int, pid: int, workers: int):
        self._settings, self._port, self._pid, self._workers = settings, port, pid, workers

    async def beside_bare_loop(
        self, size: int, part: int, runs: int, *, keyed: bool = False
    ) -> list[Figure]:
        """Requests per second, and the CPU time of one: of the service and of the database."""
        batches, wanted = BATCHES[size][0] // part, BATCHES[size][1]
        ours, floor, service_cpu, database_cpu, bare_cpu = [], [], [], [], []
        for _ in range(runs):
            await asyncio.to_thread(empty, self._settings)
            before = server.database_cpu(self._settings)
            floor.append(await _bare(self._settings, size, batches))
            middle = server.database_cpu(self._settings)
            await asyncio.to_thread(empty, self._settings)
            start, cpu = server.database_cpu(self._settings), server.cpu_seconds(*self._pids())
            ours.append(await self._post(size, batches, keyed=keyed))
            service_cpu.append((server.cpu_seconds(*self._pids()) - cpu) / batches * 1e6)
            database_cpu.append((server.database_cpu(self._settings) - start) / batches * 1e6)
            bare_cpu.append((middle - before) / batches * 1e6)
        keys, plural = " with keys" if keyed else "", "s" if self._workers > 1 else ""
        name = f"batches of {size}{keys}, {self._workers} worker{plural}"
        return [
            beside(
                f"{name}, {CLIENTS} clients",
                ours,
                "requests/s",
                floor=floor,
                floor_name="bare begin, insert, commit",
                wanted=f"≥ {wanted}" if self._workers == 1 and not keyed else None,
            ),
            single(f"{name}, CPU of the service", service_cpu, "µs/request"),
            beside(
                f"{name}, CPU of the database",
                database_cpu,
                "µs/request",
                floor=bare_cpu,
                floor_name="bare begin, insert, commit",
            ),
        ]

    async def times(self, seconds: float) -> AsyncGenerator[Figure]:
        """The time of requests at parts of the maximum rate."""
        for size in (1, 1000):
            await asyncio.to_thread(empty, self._settings)
            message = _messages(size)
            most = len(await load.paced(self._port, message, 1e9, seconds, CLIENTS)) / seconds
            for share in SHARES:
                rate = most * share / 100
                replies = await load.paced(self._port, message, rate, seconds, CLIENTS)
                assert all(reply.status == 201 for reply in replies)
                for percent in PERCENTILES:
                    name = f"batch of {size} at {share} % of {most:,.0f}/s, p{percent}"
                    yield single(name, [load.percentile(replies, percent)], "ms")

    async def _post(self, size: int, batches: int, *, keyed: bool) -> float:
        message, left = _messages(size, keyed=keyed), iter(range(batches))

        async def client() -> None:
            line = load.Line(self._port)
            for number in left:
                reply = await line.send(message(number))
                assert reply.status == 201, reply
            line.close()

        started = time.perf_counter()
        await asyncio.gather(*(client() for _ in range(CLIENTS)))
        return batches / (time.perf_counter() - started)

    def _pids(self) -> Iterator[int]:
        yield self._pid
        yield from server.children(self._pid)


def _messages(size: int, *, keyed: bool = False) -> Callable[[int], bytes]:
    """Requests with different bodies, as clients send them; keyed: each with a new key."""
    headers = {"authorization": server.CREDENTIALS} | (
        {"idempotency_key": "{key}"} if keyed else {}
    )
    given = rows(max(1000, size))
    made = cycle(
        [
            load.request("POST", "/employees", body(given[at : at + size]), **headers)
            for at in range(0, len(given), size)
        ]
    )
    return lambda _: next(made).replace(b"{key}", b"%d-%d" % (os.getpid(), next(KEYS)))


async def _bare(settings: Settings, size: int, batches: int) -> float:
    """Transactions per second of aiomysql alone, with rows that are prepared before."""
    given = rows(max(1000, size))
    prepared = cycle([given[at : at + size] for at in range(0, len(given), size)])
    left = iter(range(batches))
    options = options_of(settings)
    connections = [await aiomysql.connect(charset="utf8mb4", **options) for _ in range(CLIENTS)]

    async def client(connection: aiomysql.Connection) -> None:
        async with connection.cursor() as cursor:
            for _ in left:
                await connection.begin()
                await cursor.executemany(INSERT, next(prepared))
                await connection.commit()

    started = time.perf_counter()
    await asyncio.gather(*map(client, connections))
    seconds = time.perf_counter() - started
    for connection in connections:
        connection.close()
    return batches / seconds
