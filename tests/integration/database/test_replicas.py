"""Servers for reads: one that does not answer, or is the writer, is passed over."""

from __future__ import annotations

import asyncio
import logging
import time

import msgspec
import pytest

from service.core.database.connect import connect
from service.core.database.replication.replicas import ANSWER_SECONDS, Replicas, replicas
from service.core.database.servers.health import SECONDS, ServerHealth, health_of_servers
from service.core.database.transactions import Database
from service.core.settings import Settings
from tests.support import engine
from tests.support.processes import free_port
from tests.support.tcp_proxy import Proxy


def through(proxy: Proxy, settings: Settings, *hosts: str) -> Settings:
    """Settings with these servers for reads, and with the server itself through the proxy."""
    hosts = (*hosts, f"127.0.0.1:{proxy.port}")
    return msgspec.structs.replace(
        engine.through(proxy, settings), mysql_read_host=",".join(hosts), mysql_wait=0
    )


async def test_without_a_server_for_reads_the_database_is_read(
    migrated: Settings, database: Database
) -> None:
    async with replicas(migrated, database) as found:
        assert await found.current() is database
        assert found.snapshot_age() == 0


async def test_a_server_that_does_not_listen_is_left_for_a_while(
    proxy: Proxy, migrated: Settings, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    away = f"127.0.0.1:{free_port()}"
    async with replicas(through(proxy, migrated, away), database) as found:
        before = await found.current()
        assert await found.current() is before
        assert is_last(found, before, database)
    (line,) = caplog.messages
    assert away in line


async def test_a_server_that_falls_silent_is_left_soon(
    proxy: Proxy, migrated: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """The server itself is reached directly, and through the proxy as if it were a replica."""
    async with connect(migrated) as database, replicas(through(proxy, migrated), database) as found:
        for replica in found.replicas:
            await replica.ping()
        proxy.stall()
        async with asyncio.timeout(2 * ANSWER_SECONDS):
            assert await found.current() is database
        proxy.flow()
    assert [f"127.0.0.1:{proxy.port}" in line for line in caplog.messages] == [True]


async def test_the_health_of_a_server_that_falls_silent_is_known_soon(
    proxy: Proxy, migrated: Settings, database: Database
) -> None:
    async with replicas(through(proxy, migrated), database) as found:
        for replica in found.replicas:
            await replica.ping()
        proxy.stall()
        began = time.monotonic()
        writer, silent = await health_of_servers(migrated, found)
        took = time.monotonic() - began
        proxy.flow()
    assert writer.good
    text = f"does not answer within {SECONDS:g} s"
    assert silent == ServerHealth(f"127.0.0.1:{proxy.port}", text, good=False)
    assert took < 2 * SECONDS


async def test_a_server_that_is_the_writer_is_passed_over_without_a_warning(
    proxy: Proxy, migrated: Settings, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    async with replicas(through(proxy, migrated), database) as found:
        assert is_last(found, await found.current(), database)
    assert caplog.messages == []


def is_last(found: Replicas, read: Database, writer: Database) -> bool:
    """Whether the last choice is read: seekdb gives no name, so that it may be a replica."""
    return read is (found.replicas[-1] if writer.embedded else writer)
