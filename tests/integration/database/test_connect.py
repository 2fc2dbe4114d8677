"""Connecting: an error names the settings that cause it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from service.core.database.connect import connect
from service.core.errors import HirebaseError, SettingsError, UnavailableError
from service.core.settings import Settings
from tests.support import engine
from tests.support.processes import free_port
from tests.support.tcp_proxy import Proxy, babble, mute


async def failure(settings: Settings, **changes: Any) -> HirebaseError:
    """The error of connecting with these changes."""
    quick = {"mysql_wait": 0, "mysql_timeout": 1}
    changed = msgspec.structs.replace(settings, **(quick | changes))
    with pytest.raises(HirebaseError) as caught:
        async with asyncio.timeout(20), connect(changed):
            pass
    return caught.value


@asynccontextmanager
async def serving(handler: Callable[..., Any]) -> AsyncIterator[int]:
    server = await asyncio.start_server(handler, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def test_the_settings_are_enough_to_connect(proxy: Proxy, migrated: Settings) -> None:
    async with connect(engine.through(proxy, migrated)) as database:
        assert await database.fetch("SELECT DATABASE()") == [(migrated.mysql_database,)]


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="the system lacks the option")
async def test_a_server_that_vanishes_is_noticed_within_a_minute(
    proxy: Proxy, migrated: Settings
) -> None:
    """Also during a backup, whose deadline is hours away."""
    async with connect(engine.through(proxy, migrated)) as database:
        connection = await database.pool.acquire()
        connected = connection._writer.transport.get_extra_info("socket")
        idle, interval, probes, unacknowledged = (
            connected.getsockopt(socket.IPPROTO_TCP, option)
            for option in (
                socket.TCP_KEEPIDLE,
                socket.TCP_KEEPINTVL,
                socket.TCP_KEEPCNT,
                socket.TCP_USER_TIMEOUT,
            )
        )
        database.pool.release(connection)
    assert idle + interval * probes <= 60
    assert 0 < unacknowledged <= 60_000


async def test_a_wrong_password_names_the_variables(proxy: Proxy, migrated: Settings) -> None:
    error = await failure(engine.through(proxy, migrated), mysql_password="wrong")
    assert isinstance(error, SettingsError)
    assert "MYSQL_USER" in str(error)
    assert "MYSQL_PASSWORD" in str(error)
    assert "wrong" not in str(error)


async def test_an_unknown_user_names_the_variable(proxy: Proxy, migrated: Settings) -> None:
    error = await failure(engine.through(proxy, migrated), mysql_user="nobody", mysql_password="x")
    assert isinstance(error, SettingsError)
    assert "MYSQL_USER" in str(error)


async def test_an_unknown_database_names_the_variable(proxy: Proxy, migrated: Settings) -> None:
    error = await failure(engine.through(proxy, migrated), mysql_database="no_such_database")
    assert isinstance(error, SettingsError)
    assert "MYSQL_DATABASE" in str(error)


async def test_an_unknown_host_names_the_variable(migrated: Settings) -> None:
    error = await failure(migrated, mysql_host="no-such-host.invalid")
    assert isinstance(error, UnavailableError)
    assert "no-such-host.invalid" in str(error)
    assert "MYSQL_HOST" in str(error)


async def test_a_closed_port_names_the_variables(migrated: Settings) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        error = await failure(migrated, mysql_host="127.0.0.1", mysql_port=port)
    assert isinstance(error, UnavailableError)
    assert f"127.0.0.1:{port}" in str(error)
    assert "MYSQL_PORT" in str(error)


@pytest.mark.parametrize("handler", [mute, babble])
async def test_a_port_that_speaks_no_mysql_names_the_variables(
    migrated: Settings, handler: Callable[..., Any]
) -> None:
    async with serving(handler) as port:
        error = await failure(migrated, mysql_host="127.0.0.1", mysql_port=port)
    assert isinstance(error, UnavailableError)
    assert f"127.0.0.1:{port}" in str(error)
    assert "MYSQL_HOST" in str(error)
    assert "()" not in str(error)


async def test_the_start_waits_for_a_server_that_is_late(proxy: Proxy, migrated: Settings) -> None:
    port = free_port()
    settings = msgspec.structs.replace(engine.through(proxy, migrated), mysql_port=port)
    start = asyncio.create_task(_answers(settings))
    await asyncio.sleep(0.7)
    assert not start.done()
    late = await asyncio.start_server(proxy.accept, "127.0.0.1", port)
    assert await start == 1
    late.close()


async def _answers(settings: Settings) -> object:
    async with connect(settings) as database:
        return (await database.fetch("SELECT 1"))[0][0]


@pytest.mark.parametrize("content", [None, "no certificate"])
async def test_an_authority_that_cannot_be_read_names_the_variable(
    migrated: Settings, tmp_path: Path, content: str | None
) -> None:
    file = tmp_path / "ca.pem"
    if content:
        file.write_text(content)
    error = await failure(migrated, mysql_host="127.0.0.1", mysql_ssl_ca=file)
    assert isinstance(error, SettingsError)
    assert str(error).startswith("MYSQL_SSL_CA")


async def test_a_folder_that_cannot_be_created_names_the_variable(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    error = await failure(Settings(embedded_dir=file / "seekdb"))
    assert isinstance(error, SettingsError)
    assert str(error).startswith("EMBEDDED_DIR")
