"""TLS to a real server: a valid certificate is accepted; others end the connection first."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from service.cli.doctor.server_checks import tls
from service.cli.doctor.servers import reached
from service.core.database.connect import connect
from service.core.errors import SettingsError
from service.core.settings import Settings
from tests.support import engine
from tests.support.tcp_proxy import Proxy

NAME = "localhost"
CIPHER = "SHOW SESSION STATUS LIKE 'Ssl_cipher'"
Key = ec.EllipticCurvePrivateKey


@dataclass(frozen=True)
class Authority:
    """A certificate authority, as PEM."""

    key: Key
    certificate: x509.Certificate

    @classmethod
    def new(cls, name: str) -> Authority:
        key = ec.generate_private_key(ec.SECP256R1())
        own = _name(name)
        return cls(key, _builder(own, own, key, ca=True).sign(key, hashes.SHA256()))

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def issue(self, host: str) -> tuple[bytes, bytes]:
        """(certificate, key) of a server."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(_name(host), self.certificate.subject, key, ca=False)
        builder = builder.add_extension(
            x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False
        ).add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()),
            critical=False,
        )
        signed = builder.sign(self.key, hashes.SHA256())
        return signed.public_bytes(serialization.Encoding.PEM), key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: Key, *, ca: bool
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    usage = dict.fromkeys(
        (
            *("digital_signature", "content_commitment", "key_encipherment"),
            *("data_encipherment", "key_agreement", "encipher_only", "decipher_only"),
            *("key_cert_sign", "crl_sign"),
        ),
        False,
    ) | {"key_cert_sign" if ca else "digital_signature": True}
    return (
        x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(**usage), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


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
