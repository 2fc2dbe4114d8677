"""A server that stops answering, while its connections stay open, is left within seconds."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager, suppress
from pathlib import Path

import msgspec
import pytest

from loader.loading.pipeline import load
from service.core.backups import backup
from service.core.backups.restore import restore
from service.core.database.connect import connect
from service.core.database.transactions import Database
from service.core.errors import CommitUnknownError, UnavailableError
from service.core.settings import Settings
from tests.support import engine
from tests.support.backup_files import DEPARTMENTS, avro_file, records
from tests.support.csv_files import Folder, hire, names
from tests.support.departments import ADD
from tests.support.restores import fill
from tests.support.tcp_proxy import Proxy
from tests.support.waiting import until, until_idle

NOTICED = 6.0
"""The seconds within which a silent server is left. A probe waits four, once a second."""
MARGIN = 2.0
SIZE = 4
LONG = 8 << 20
"""Bytes that do not fit into the buffers of a socket."""
Stalled = Callable[[Database, Proxy], Awaitable[None]]
Work = Callable[[Database, Path], Awaitable[None]]


@pytest.fixture
async def both(
    proxy: Proxy, other: Proxy, migrated: Settings, database: Database
) -> AsyncIterator[Database]:
    """A pool that uses the first of two servers, and can go to the other."""
    hosts = f"127.0.0.1:{proxy.port},127.0.0.1:{other.port}"
    settings = msgspec.structs.replace(
        engine.through(proxy, migrated), mysql_host=hosts, mysql_pool_size=SIZE
    )
    async with connect(settings) as both:
        yield both
    await until(_none_is_open(proxy, other), 5)


def _none_is_open(*wires: Proxy) -> Callable[[], Awaitable[bool]]:
    async def none_is_open() -> bool:
        return all(proxy.connections == 0 for proxy in wires if not proxy.stalled)

    return none_is_open


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """The block ends in time."""
    began = time.monotonic()
    yield
    assert time.monotonic() - began < seconds


async def check_failed_over(database: Database, proxy: Proxy, other: Proxy) -> None:
    """Each connection of the full pool goes to the other server, at once."""
    assert proxy.stalled
    await until_idle(database.pool)
    with within(MARGIN):
        held = await asyncio.gather(*(database.pool.acquire() for _ in range(SIZE)))
    assert {one.port for one in held} == {other.port}
    for one in held:
        database.pool.release(one)
    assert database.pool.freesize == SIZE


async def test_idle_connections_are_closed_before_a_request_needs_one(
    both: Database, proxy: Proxy, other: Proxy
) -> None:
    await both.ping()
    proxy.stall()

    async def is_empty() -> bool:
        return both.pool.size == 0

    await until(is_empty, NOTICED)
    await check_failed_over(both, proxy, other)


async def short(database: Database, proxy: Proxy) -> None:
    async with database.transaction() as transaction:
        proxy.stall()
        await transaction.fetch("SELECT 1")


async def longer_than_the_buffers(database: Database, proxy: Proxy) -> None:
    async with database.transaction() as transaction:
        proxy.stall()
        await transaction.fetch("SELECT LENGTH(%s)", ("x" * LONG,))


@pytest.mark.parametrize("statement", [short, longer_than_the_buffers])
async def test_a_statement_ends(
    both: Database, proxy: Proxy, other: Proxy, statement: Stalled
) -> None:
    with within(NOTICED + MARGIN), pytest.raises(UnavailableError):
        await statement(both, proxy)
    await check_failed_over(both, proxy, other)


async def unheard(database: Database, proxy: Proxy) -> None:
    async with database.transaction() as transaction:
        await transaction.execute(ADD, (1, "Sales"))
        proxy.stall_at(b"COMMIT", heard=False)


async def unanswered(database: Database, proxy: Proxy) -> None:
    async with database.transaction() as transaction:
        await transaction.execute(ADD, (1, "Sales"))
        proxy.stall_at(b"COMMIT", heard=True)


@pytest.mark.parametrize("commit", [unheard, unanswered])
async def test_a_commit_ends_as_unknown(
    both: Database, proxy: Proxy, other: Proxy, commit: Stalled
) -> None:
    with within(NOTICED + MARGIN), pytest.raises(CommitUnknownError):
        await commit(both, proxy)
    await check_failed_over(both, proxy, other)


async def back_up(database: Database, _folder: Path) -> None:
    async with aclosing(backup.stream_all(database, "deflate")) as chunks:
        async for _ in chunks:
            await asyncio.sleep(0)


async def put_back(database: Database, _: Path) -> None:
    with tempfile.TemporaryFile() as file:
        file.write(avro_file(DEPARTMENTS, records(DEPARTMENTS, 9)))
        file.flush()
        await restore(database, [(DEPARTMENTS, file)], "merge")


async def load_files(database: Database, path: Path) -> None:
    folder = Folder(path)
    folder.write(hired_employees=[hire(at) for at in range(100, 120)])
    await load(database, folder.options())
    assert len(await names(database)) > 20


@pytest.mark.parametrize(
    ("work", "text"),
    [
        (back_up, b"GROUP_CONCAT"),
        (put_back, b"INSERT INTO departments"),
        (put_back, b"COMMIT"),
        (load_files, b"INSERT INTO hired_employees"),
        (load_files, b"COMMIT"),
    ],
)
async def test_long_work_ends_or_continues_on_the_next_server(
    both: Database, proxy: Proxy, other: Proxy, tmp_path: Path, work: Work, text: bytes
) -> None:
    """Its deadline is hours away."""
    await fill(both)
    proxy.stall_at(text, heard=False)
    # Both are the same server, where the locks of the silent connection would stay.
    asyncio.get_running_loop().call_later(NOTICED, proxy.cut)
    with within(NOTICED + 2 * MARGIN), suppress(UnavailableError):
        async with asyncio.timeout(20):
            await work(both, tmp_path)
    await check_failed_over(both, proxy, other)


async def test_reserved_connections_leave_as_well(
    both: Database, proxy: Proxy, other: Proxy
) -> None:
    async with both.reserved() as reserved:
        await reserved.ping()
        proxy.stall()
        with within(NOTICED + MARGIN), suppress(UnavailableError):
            await reserved.ping()
        with within(MARGIN):
            await reserved.ping()
    assert other.accepted


async def test_a_lone_server_is_left_and_used_again(proxy: Proxy, migrated: Settings) -> None:
    async with connect(engine.through(proxy, migrated)) as lone:
        with within(NOTICED + MARGIN), pytest.raises(UnavailableError):
            await short(lone, proxy)
        assert lone.pool.size == 0
        proxy.flow()
        await lone.ping()


async def test_a_slow_statement_is_not_silence(both: Database, proxy: Proxy, other: Proxy) -> None:
    before = both.pool.servers.current
    async with both.transaction() as transaction:
        assert await transaction.fetch("SELECT SLEEP(8)") == [(0,)]
    assert both.pool.servers.current is before
    assert other.accepted == 0


async def test_a_stall_of_this_process_is_not_silence(
    both: Database, proxy: Proxy, other: Proxy
) -> None:
    async with both.transaction() as transaction:
        for _ in range(2):
            asking = asyncio.create_task(transaction.fetch("SELECT SLEEP(0.5)"))
            await asyncio.sleep(1.1)
            time.sleep(NOTICED)  # noqa: ASYNC251 - stalls the event loop on purpose
            assert await asking == [(0,)]
        await asyncio.sleep(NOTICED)
        assert await transaction.fetch("SELECT 1") == [(1,)]
    assert other.accepted == 0


async def test_a_server_is_probed_only_while_it_is_used(both: Database, proxy: Proxy) -> None:
    await both.ping()

    async def is_probed() -> bool:
        return proxy.connections == 2

    async def is_left_alone() -> bool:
        return proxy.connections == 0

    await until(is_probed, 3)
    both.pool.close_free()
    await until(is_left_alone, 3)
    await both.ping()
    await until(is_probed, 3)


async def test_a_killed_probe_closes_no_other_connection(both: Database, proxy: Proxy) -> None:
    connection = await both.pool.acquire()
    await asyncio.sleep(1.5)
    async with both.session(5) as session:
        found = await session.fetch(
            "SELECT id FROM information_schema.processlist "
            "WHERE db = DATABASE() AND id <> CONNECTION_ID()"
        )
        for (number,) in found:
            if number != connection.thread_id():
                await session.execute(f"KILL {number}")
    await asyncio.sleep(3)
    assert connection.is_open
    both.pool.release(connection)


async def test_the_embedded_server_is_not_probed(migrated: Settings) -> None:
    async with connect(migrated) as database:
        await database.ping()
        assert bool(database.pool.servers._probes) is not migrated.embedded


async def test_a_server_that_was_silent_is_the_last_choice(
    both: Database, proxy: Proxy, other: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is used again if no other is left, and preferred again after a while."""
    await test_idle_connections_are_closed_before_a_request_needs_one(both, proxy, other)
    proxy.flow()
    other.refusing = True
    other.cut()
    await asyncio.sleep(0.1)
    with within(MARGIN):
        await both.ping()
    assert both.pool.servers.current is both.pool.servers._servers[0]
