"""Doctor on the API: its certificate, and what answers on its port."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from service import healthcheck
from service.cli.doctor.api import api, certificate
from service.cli.doctor.findings import Finding
from service.core.settings import Settings
from tests.support.certificates import Authority
from tests.support.processes import free_port
from tests.support.tcp_proxy import mute


@pytest.mark.parametrize(
    ("reply", "status"),
    [
        (b'HTTP/1.1 200 OK\r\ncontent-length: 18\r\n\r\n{"status":"ready"}', "ok"),
        (b"HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n", "error"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello", "error"),
        (b"\x00\x01", "error"),
        (b"", "error"),
    ],
)
async def test_what_answers_on_the_port_of_the_api_is_found(reply: bytes, status: str) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(reply)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        (finding,) = await asyncio.to_thread(api, Settings(api_host="0.0.0.0", api_port=port))
    assert finding.status == status, finding.text


async def test_a_service_that_does_not_answer_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(healthcheck, "SECONDS", 0.2)
    server = await asyncio.start_server(mute, "127.0.0.1", 0)
    try:
        port = server.sockets[0].getsockname()[1]
        (finding,) = await asyncio.to_thread(api, Settings(api_port=port))
    finally:
        server.close()
    assert (finding.status, "timed out" in finding.text) == ("error", True)


def test_the_service_need_not_run() -> None:
    (finding,) = api(Settings(api_port=free_port()))
    assert (finding.status, "does not run" in finding.text) == ("ok", True)


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    return tmp_path / "cert.pem", tmp_path / "key.pem"


def api_tls(pair: tuple[Path, Path], *, first: float = -1, last: float = 1) -> Finding:
    """What doctor says of a new certificate; first, last: its validity, in days from now."""
    issued = Authority.new("Ours").issue("a", first=first, last=last)
    for file, content in zip(pair, issued, strict=True):
        file.write_bytes(content)
    (finding,) = certificate(Settings(api_tls_cert=pair[0], api_tls_key=pair[1]))
    return finding


@pytest.mark.parametrize(
    ("first", "last", "status"),
    [(-1, 90, "ok"), (-1, 29, "warning"), (-9, -0.1, "error"), (0.1, 90, "error")],
)
def test_the_days_of_the_certificate_count(
    pair: tuple[Path, Path], first: float, last: float, status: str
) -> None:
    finding = api_tls(pair, first=first, last=last)
    assert finding.status == status, finding.text
    assert bool(finding.remedy) == (status != "ok")


def test_a_key_of_another_certificate_is_an_error(pair: tuple[Path, Path]) -> None:
    assert api_tls(pair).status == "warning"
    pair[1].write_bytes(Authority.new("Ours").issue("a")[1])
    settings = Settings(api_tls_cert=pair[0], api_tls_key=pair[1], api_port=free_port())
    finding = api(settings)[0]
    assert finding.status == "error"
    assert finding.text.startswith("API_TLS_KEY")
