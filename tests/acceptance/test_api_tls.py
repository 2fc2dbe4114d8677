"""TLS of the API: real certificates, which change while the service runs."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from service.core.settings import Settings
from tests.conftest import PASSWORD, USER
from tests.support.certificates import Authority
from tests.support.program import Service, run
from tests.support.tls_files import (
    NAME,
    Files,
    environment,
    serial_of_new_connection,
    serials,
)


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.new("Ours")


@pytest.fixture
def trusting(authority: Authority) -> ssl.SSLContext:
    """The context of a client that checks certificates."""
    return ssl.create_default_context(cadata=authority.pem.decode())


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Files:
    """The files of the service that several tests use."""
    return Files(tmp_path_factory.mktemp("tls"), authority)


@pytest.fixture(scope="module")
async def service(migrated: Settings, shared: Files) -> AsyncIterator[Service]:
    """Two workers."""
    service = await Service.started("--workers", "2", **environment(migrated, shared))
    yield service
    await service.end()


@pytest.fixture
def files(tmp_path: Path, authority: Authority) -> Files:
    """Files of a service of its own."""
    return Files(tmp_path, authority)


@pytest.fixture
def variables(migrated: Settings, files: Files) -> dict[str, str]:
    return environment(migrated, files)


def client(service: Service, context: ssl.SSLContext) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        base_url=f"https://{NAME}:{service.port}",
        auth=httpx.BasicAuth(USER, PASSWORD),
        trust_env=False,
        verify=context,
    )


async def test_new_connections_get_a_new_certificate_and_old_ones_continue(
    service: Service, shared: Files, trusting: ssl.SSLContext
) -> None:
    async with client(service, trusting) as before:
        assert (await before.get("/limits")).status_code == 200
        assert await serials(service, trusting) == {shared.serial}
        for _ in range(3):
            new = shared.issue()
            assert await serials(service, trusting) == {new}
        assert (await before.get("/limits")).status_code == 200
        assert len(before._transport._pool.connections) == 1  # type: ignore[attr-defined]


async def test_a_broken_new_pair_keeps_the_old_one_and_is_logged_once(
    variables: dict[str, str], files: Files, trusting: ssl.SSLContext
) -> None:
    service, old = await Service.started(**variables), files.serial
    _, other_key = Authority.new("Another").issue(NAME)
    files.key.write_bytes(other_key)
    assert await serials(service, trusting) == {old}
    files.certificate.unlink()
    assert await serials(service, trusting) == {old}
    new = files.issue()
    assert await serials(service, trusting) == {new}
    ended = await service.end()
    assert ended.code == 0
    assert ended.err.count("does not belong to the certificate") == 1
    assert ended.err.count(f"API_TLS_CERT: {files.certificate} cannot be read") == 1
    assert ended.err.count("The API continues with its previous certificate") == 2


async def test_with_tls_nothing_warns_of_plain_text_and_plain_http_gets_no_reply(
    variables: dict[str, str], trusting: ssl.SSLContext
) -> None:
    service = await Service.started(**variables | {"API_HOST": "0.0.0.0"})
    assert f"https://0.0.0.0:{service.port}" in service.text
    async with client(service, trusting) as new:
        assert (await new.get("/health/live")).status_code == 200
    with pytest.raises(httpx.RemoteProtocolError):
        async with httpx.AsyncClient(trust_env=False) as plain:
            await plain.get(f"http://127.0.0.1:{service.port}/health/live")
    ended = await service.end()
    assert (ended.code, "plain text" in ended.out) == (0, False)
    assert "Traceback" not in ended.err


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
@pytest.mark.parametrize(
    ("newest", "accepted"), [(ssl.TLSVersion.TLSv1_2, True), (ssl.TLSVersion.TLSv1_1, False)]
)
async def test_tls_before_1_2_is_refused(
    service: Service, shared: Files, newest: ssl.TLSVersion, *, accepted: bool
) -> None:
    old = ssl.create_default_context()
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    old.set_ciphers("DEFAULT@SECLEVEL=0")
    old.minimum_version = ssl.TLSVersion.TLSv1
    old.maximum_version = newest
    if accepted:
        assert await serial_of_new_connection(service, old) == shared.serial
    else:
        with pytest.raises((ssl.SSLError, ConnectionResetError)):
            await serial_of_new_connection(service, old)


async def test_a_client_that_names_no_server_gets_the_new_certificate_too(
    service: Service, shared: Files, trusting: ssl.SSLContext
) -> None:
    trusting.check_hostname = False
    new = shared.issue()
    _, writer = await asyncio.open_connection(
        "127.0.0.1", service.port, ssl=trusting, server_hostname=""
    )
    peer = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    assert x509.load_der_x509_certificate(peer).serial_number == new


@pytest.mark.parametrize("tls", [True, False])
async def test_the_check_of_the_image_works_with_and_without_tls(
    variables: dict[str, str], *, tls: bool
) -> None:
    given = variables if tls else {n: v for n, v in variables.items() if "TLS" not in n}
    service = await Service.started(**given | {"API_HOST": "0.0.0.0"})
    same = given | {"API_HOST": "0.0.0.0", "API_PORT": str(service.port)}
    ready = await run("service.healthcheck", **same)
    await service.end()
    away = await run("service.healthcheck", **same)
    assert (ready.code, ready.out, ready.err) == (0, '{"status":"ready"}', "")
    assert (away.code, away.err) == (1, "")
    assert "refused" in away.out


def _another_key(files: Files) -> None:
    files.key.write_bytes(Authority.new("Another").issue(NAME)[1])


def _missing_certificate(files: Files) -> None:
    files.certificate.unlink()


def _folder_for_key(files: Files) -> None:
    files.key.unlink()
    files.key.mkdir()


def _certificate_for_key(files: Files) -> None:
    files.key.write_bytes(files.certificate.read_bytes())


def _text_for_certificate(files: Files) -> None:
    files.certificate.write_text("hello")


def _key_with_password(files: Files) -> None:
    key = serialization.load_pem_private_key(files.key.read_bytes(), None)
    files.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            _another_key,
            "API_TLS_KEY: the key in {key} does not belong to the certificate in {cert}",
        ),
        (_missing_certificate, "API_TLS_CERT: {cert} cannot be read: No such file or directory"),
        (_folder_for_key, "API_TLS_KEY: {key} cannot be read: Is a directory"),
        (_certificate_for_key, "API_TLS_KEY: {key} does not begin with a PEM key without"),
        (_text_for_certificate, "API_TLS_CERT: {cert} does not begin with a PEM certificate"),
        (_key_with_password, "API_TLS_KEY: {key} does not begin with a PEM key without a password"),
    ],
)
async def test_files_that_cannot_be_used_end_the_start_with_the_reason(
    variables: dict[str, str], files: Files, spoil: object, message: str
) -> None:
    assert callable(spoil)
    spoil(files)
    ended = await run("service", **variables)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(
        f"hirebase: {message.format(cert=files.certificate, key=files.key)}"
    )
    assert ended.err.count("\n") == 1


@pytest.mark.parametrize("name", ["API_TLS_CERT", "API_TLS_KEY"])
async def test_one_of_the_two_is_not_enough(variables: dict[str, str], name: str) -> None:
    ended = await run("service", **variables | {name: ""})
    assert ended.code == 2
    assert ended.err.startswith(f"hirebase: {name}: set it too, because API_TLS_")
