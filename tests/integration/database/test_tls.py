"""TLS to a real server: a valid certificate is accepted; others end the connection first."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import pytest

from service.cli.doctor.server_checks import tls
from service.cli.doctor.servers import reached
from service.core.database.connect import connect
from service.core.errors import SettingsError
from service.core.settings import Settings
from tests.support import engine
from tests.support.certificates import Authority
from tests.support.tcp_proxy import Proxy

NAME = "localhost"
CIPHER = "SHOW SESSION STATUS LIKE 'Ssl_cipher'"


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.new("Ours")


@pytest.fixture(scope="module")
def server(authority: Authority) -> Iterator[Settings]:
    """A separate MySQL server whose certificate is valid for NAME only."""
    if os.environ["TEST_SERVER"].startswith(engine.EMBEDDED):
        pytest.skip("the embedded database offers no TLS")
    if not engine.has_container_engine():
        pytest.skip("no container engine to run a server with a certificate in")
    certificate, key = authority.issue(NAME)
    files = {"/tls/ca.pem": authority.pem, "/tls/cert.pem": certificate, "/tls/key.pem": key}
    options = ("--ssl-ca=/tls/ca.pem", "--ssl-cert=/tls/cert.pem", "--ssl-key=/tls/key.pem")
    with engine.container(files=files, options=options) as url:
        yield engine.settings(url, "mysql")


@pytest.fixture
async def way(server: Settings) -> AsyncIterator[Proxy]:
    """A proxy of the server that records what clients send."""
    host = urlsplit(f"//{server.mysql_host}").hostname
    async with Proxy.to(partial(asyncio.open_connection, host, server.mysql_port)) as proxy:
        yield proxy


@pytest.fixture
def settings_of(server: Settings, authority: Authority, way: Proxy, tmp_path: Path) -> Settings:
    """Settings that trust the authority of the server."""
    file = tmp_path / "ca.pem"
    file.write_bytes(authority.pem)
    over = engine.through(way, server)
    return msgspec.structs.replace(over, mysql_host=NAME, mysql_ssl_ca=file, mysql_wait=0)


async def test_a_valid_certificate_is_accepted_and_all_data_is_encrypted(
    settings_of: Settings, way: Proxy
) -> None:
    async with connect(settings_of) as database:
        ((_, cipher),) = await database.fetch(CIPHER)
        await database.fetch("SELECT 'a secret text'")
    assert cipher
    assert way.sent
    assert b"a secret text" not in way.sent
    assert settings_of.mysql_user.encode() not in way.sent


async def test_a_certificate_of_another_authority_ends_the_connection_before_the_login(
    settings_of: Settings, way: Proxy
) -> None:
    assert settings_of.mysql_ssl_ca
    settings_of.mysql_ssl_ca.write_bytes(Authority.new("Another").pem)
    await _refused(settings_of, way)


async def test_a_certificate_of_another_name_ends_the_connection_before_the_login(
    settings_of: Settings, way: Proxy
) -> None:
    await _refused(msgspec.structs.replace(settings_of, mysql_host="127.0.0.1"), way)


async def test_doctor_says_that_the_certificate_ends_soon(settings_of: Settings) -> None:
    """It is valid for a day."""
    address = settings_of.servers[0]
    async with reached(settings_of, address, reads=False) as server:
        finding = await tls(server, NAME)
    assert finding.status == "warning"
    assert re.search(r"TLSv1\.[23], .* it expires in 1 day", finding.text)


async def _refused(settings: Settings, way: Proxy) -> None:
    with pytest.raises(SettingsError, match="MYSQL_SSL_CA"):
        async with asyncio.timeout(20), connect(settings):
            pass
    assert way.accepted
    assert settings.mysql_user.encode() not in way.sent
