"""Several servers: which one is used, and which one gets no password."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pymysql
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from service.core.database import transactions
from service.core.database.connect import connect
from service.core.database.servers import failover
from service.core.errors import SettingsError, UnavailableError
from service.core.settings import Settings
from tests.support import engine
from tests.support.processes import free_port
from tests.support.tcp_proxy import Proxy, swallowing
from tests.support.waiting import until, until_idle

SOON = 1.0
"""Seconds: less than the head start of a server, more than a connection takes on a busy machine."""


@pytest.fixture
def two(proxy: Proxy, other: Proxy, migrated: Settings) -> Settings:
    """Settings with both addresses."""
    hosts = f"127.0.0.1:{proxy.port}, 127.0.0.1:{other.port}"
    return msgspec.structs.replace(engine.through(proxy, migrated), mysql_host=hosts)


def test_each_host_may_have_a_port() -> None:
    settings = Settings(mysql_host="a:3307,b , c:1", mysql_port=4000)
    assert settings.servers == [("a", 3307), ("b", 4000), ("c", 1)]


async def test_a_server_has_an_ipv6_address(proxy: Proxy, migrated: Settings) -> None:
    listening = await asyncio.start_server(proxy.accept, "::1", 0)
    port = listening.sockets[0].getsockname()[1]
    try:
        for host in (f"[::1]:{port}", "::1"):
            settings = engine.through(proxy, migrated)
            settings = msgspec.structs.replace(settings, mysql_host=host, mysql_port=port)
            async with connect(settings) as database:
                await database.ping()
    finally:
        listening.close()
    settings = msgspec.structs.replace(settings, mysql_wait=0)
    with pytest.raises(UnavailableError, match=rf"\[::1\]:{port}"):
        async with connect(settings):
            pytest.fail("it answered")


async def test_a_server_that_is_down_is_skipped(proxy: Proxy, migrated: Settings) -> None:
    hosts = f"127.0.0.1:{free_port()},127.0.0.1:{proxy.port}"
    settings = msgspec.structs.replace(engine.through(proxy, migrated), mysql_host=hosts)
    async with connect(settings) as database:
        await database.ping()


async def test_the_next_server_is_used_if_one_becomes_unreachable(
    proxy: Proxy, other: Proxy, two: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failover, "PROBE_SECONDS", 100)
    async with connect(two) as database:
        assert (proxy.accepted, other.accepted) == (1, 0)
        proxy.refusing = True
        proxy.cut()
        await database.fetch("SELECT 1")
        assert other.accepted == 1


async def test_if_no_server_answers_work_waits_for_one(
    proxy: Proxy, other: Proxy, two: Settings
) -> None:
    async with connect(two) as database:
        proxy.refusing = other.refusing = True
        proxy.cut()
        query = asyncio.create_task(database.fetch("SELECT 1"))
        work = asyncio.create_task(database.run(lambda session: session.fetch("SELECT 2")))
        with pytest.raises(UnavailableError):
            await database.ping()
        await asyncio.sleep(1)
        other.refusing = False
        assert (await query, await work) == ([(1,)], [(2,)])


async def test_the_wait_for_a_server_ends(
    proxy: Proxy, other: Proxy, two: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transactions, "FAILOVER_SECONDS", 1)
    async with connect(two) as database:
        proxy.refusing = other.refusing = True
        proxy.cut()
        began = time.monotonic()
        with pytest.raises(UnavailableError):
            await database.fetch("SELECT 1")
        assert 1 <= time.monotonic() - began < 3


async def test_work_does_not_wait_for_the_only_server(proxy: Proxy, migrated: Settings) -> None:
    async with connect(engine.through(proxy, migrated)) as database:
        proxy.refusing = True
        proxy.cut()
        began = time.monotonic()
        with pytest.raises(UnavailableError):
            await database.fetch("SELECT 1")
        assert time.monotonic() - began < 1


Silent = Callable[[Settings], AbstractAsyncContextManager[int]]


@asynccontextmanager
async def dropping(_: Settings) -> AsyncIterator[int]:
    """A machine that drops packets."""
    with swallowing() as port:
        yield port


@asynccontextmanager
async def never_greeting(settings: Settings) -> AsyncIterator[int]:
    """A server that accepts connections and is frozen."""
    async with engine.proxy(settings) as frozen:
        frozen.stall()
        yield frozen.port
        assert frozen.accepted
        assert frozen.connections == 0


@asynccontextmanager
async def after_a(silent: Silent, proxy: Proxy, migrated: Settings) -> AsyncIterator[Settings]:
    """Settings that name a silent server before one that answers."""
    async with silent(migrated) as port:
        hosts = f"127.0.0.1:{port},127.0.0.1:{proxy.port}"
        yield msgspec.structs.replace(engine.through(proxy, migrated), mysql_host=hosts)


@pytest.mark.parametrize("silent", [dropping, never_greeting])
async def test_a_silent_server_delays_only_the_first_connection(
    proxy: Proxy, migrated: Settings, silent: Silent
) -> None:
    async with after_a(silent, proxy, migrated) as settings, connect(settings) as database:
        began = time.monotonic()
        held = await asyncio.gather(*(database.pool.acquire() for _ in range(4)))
        assert time.monotonic() - began < SOON
        assert {one.port for one in held} == {proxy.port}
        for one in held:
            database.pool.release(one)
        assert (database.pool.size, database.pool.freesize) == (4, 4)


@pytest.mark.parametrize("silent", [dropping, never_greeting])
async def test_the_first_connection_waits_only_briefly_for_a_silent_server(
    proxy: Proxy, migrated: Settings, silent: Silent
) -> None:
    async with after_a(silent, proxy, migrated) as settings:
        began = time.monotonic()
        async with connect(settings):
            assert time.monotonic() - began < failover.HEAD_START_SECONDS + SOON


@pytest.mark.parametrize("seed", range(4))
async def test_racing_connections_never_leak(
    proxy: Proxy, other: Proxy, two: Settings, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Each server is sometimes slow and sometimes refuses, and waiters are cancelled."""
    monkeypatch.setattr(failover, "HEAD_START_SECONDS", 0.01)
    monkeypatch.setattr(failover, "LAST_SECONDS", 0.05)
    monkeypatch.setattr(failover, "PROBE_SECONDS", 100)
    chance = random.Random(seed)
    async with connect(msgspec.structs.replace(two, mysql_pool_size=3)) as database:
        pool = database.pool
        for _ in range(60):
            for one in (proxy, other):
                one.delay = chance.choice((0, 0, 0.002, 0.005))
                one.refusing = chance.random() < 0.2
            pool.close_free()
            waiters = [asyncio.create_task(pool.acquire()) for _ in range(4)]
            await asyncio.sleep(chance.uniform(0, 0.06))
            chance.choice(waiters).cancel()
            asyncio.get_running_loop().call_later(0.2, _cancel, waiters)
            for waiter in asyncio.as_completed(waiters):
                with suppress(pymysql.OperationalError, asyncio.CancelledError):
                    pool.release(await waiter)
        await until_idle(pool)

        async def are_all_counted() -> bool:
            return proxy.connections + other.connections == pool.size

        await until(are_all_counted, 5)
        assert pool.waiting == 0


def _cancel(tasks: Iterable[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()


async def test_if_all_servers_are_down_the_error_names_all(
    proxy: Proxy, migrated: Settings
) -> None:
    first, second = free_port(), free_port()
    hosts = f"127.0.0.1:{first},127.0.0.1:{second}"
    settings = msgspec.structs.replace(migrated, mysql_host=hosts, mysql_wait=0)
    with pytest.raises(UnavailableError, match=f"127.0.0.1:{first}, 127.0.0.1:{second}"):
        async with connect(settings):
            pass


async def test_a_server_without_a_valid_certificate_gets_no_password(
    proxy: Proxy, migrated: Settings, tmp_path: Path
) -> None:
    """The embedded server offers no TLS, and MySQL's certificate is from another authority."""
    authority = tmp_path / "ca.pem"
    authority.write_bytes(certificate())
    settings = msgspec.structs.replace(
        engine.through(proxy, migrated), mysql_ssl_ca=authority, mysql_user="somebody", mysql_wait=0
    )
    with pytest.raises(SettingsError, match="MYSQL_SSL_CA"):
        async with asyncio.timeout(20), connect(settings):
            pass
    assert proxy.accepted
    assert b"somebody" not in proxy.sent


def certificate() -> bytes:
    """The certificate of a certificate authority."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Nobody's authority")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now).not_valid_after(now + timedelta(days=1))
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
