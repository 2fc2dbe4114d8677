"""Doctor on settings, credentials, folders, backups and the service."""

from __future__ import annotations

import asyncio
import errno
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service import healthcheck
from service.cli.doctor import configuration, folders
from service.cli.doctor.api import api, certificate
from service.cli.doctor.backups import backups
from service.cli.doctor.command import lines
from service.cli.doctor.examination import examine
from service.cli.doctor.findings import Finding, Report
from service.core.backups.backup_store import BackupStore
from service.core.database.transactions import Database
from service.core.settings import SECRETS, Settings
from tests.integration.doctor.conftest import found, wrong
from tests.support.certificates import Authority
from tests.support.passwords import hashed
from tests.support.processes import free_port
from tests.support.program import ROOT
from tests.support.tcp_proxy import mute

AWAY = {"MYSQL_HOST": "127.0.0.1:1", "MYSQL_WAIT": "0"}


async def examined(variables: Mapping[str, str]) -> Report:
    """The report with a database that is away, which is the quickest one."""
    return await examine(AWAY | {"API_PASS": "x"} | dict(variables), None)


def source(report: Report, name: str) -> tuple[str | None, str]:
    (setting,) = [one for one in report.settings if one.name == name]
    return setting.value, setting.source


async def test_each_setting_has_its_source(tmp_path: Path) -> None:
    file = tmp_path / "user"
    file.write_text("reporting\n")
    report = await examined(
        {"MYSQL_USER_FILE": str(file), "API_DOWNLOAD_PATIENCE": "7", "MYSQL_PASSWORD": "secret"}
    )
    assert {one.name for one in report.settings} == set(configuration.NAMES)
    assert source(report, "MYSQL_USER") == ("reporting", f"MYSQL_USER_FILE={file}")
    assert source(report, "API_DOWNLOAD_IDLE_TIMEOUT") == (
        "7",
        "environment (API_DOWNLOAD_PATIENCE)",
    )
    assert source(report, "MYSQL_PORT") == ("3306", "default")
    assert source(report, "MYSQL_PASSWORD") == ("(set)", "environment")
    assert source(report, "MYSQL_SSL_CA") == (None, "default")


def test_every_password_is_a_secret() -> None:
    fields = [field.name for field in configuration.FIELDS]
    assert {name for name in fields if re.search("pass|secret|token", name)} == SECRETS


LETTERS = st.text("abcdefghijklmnopqrstuvwxyz", min_size=12)


@given(LETTERS, st.sampled_from(sorted(SECRETS)), st.booleans())
def test_no_report_has_a_secret(secret: str, field: str, is_valid: bool) -> None:
    """Also not if a setting cannot be used, or a password is in an address."""
    variables = AWAY | {
        field.upper(): hashed(secret) if field == "api_pass_hash" else secret,
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"https://user:{secret}@collector.invalid",
        "MYSQL_READ_HOST": "127.0.0.1:1" if is_valid else f"mysql://root:{secret}@db",
    }
    report = asyncio.run(examine(variables, None))
    printed = "\n".join(lines(report)) + msgspec.json.encode(report).decode()
    assert secret not in printed
    assert variables[field.upper()] not in printed


@pytest.mark.parametrize("name", ["BACKUP_DIR", "API_USERS", "DATA_DIR", "MYSQL_USER_FILE"])
def test_a_path_with_any_bytes_can_be_printed(tmp_path: Path, name: str) -> None:
    file = Path(os.fsdecode(bytes(tmp_path) + b"/\xff"))
    file.write_text("x")
    report = asyncio.run(examined({name: str(file)}))
    assert rb"\\xff" in msgspec.json.encode(report)
    assert r"/\xff" in "\n".join(lines(report)).encode().decode()


async def test_wrong_settings_are_all_named_and_stop_the_other_checks() -> None:
    report = await examined({"API_PORT": "eighty", "MYSQL_POOL_SIZE": "1", "MYSQL_USR": "x"})
    texts = [one.text for one in report.findings if one.status == "error"]
    assert [text.partition(":")[0] for text in texts] == ["MYSQL_POOL_SIZE", "API_PORT"]
    assert found(report, "others").status == "skipped"
    assert source(report, "API_PORT") == ("(cannot be used)", "environment")
    (misspelt,) = [one for one in report.findings if one.status == "warning"]
    assert ("MYSQL_USR" in misspelt.text, "MYSQL_USER" in misspelt.remedy) == (True, True)


async def test_no_known_variable_counts_as_misspelt() -> None:
    text = (ROOT / ".env.example").read_text(encoding="utf-8")
    names = re.findall(r"^#?([A-Z_]+)=", text, re.MULTILINE)
    known = {**dict.fromkeys(names, ""), "MYSQL_PORT_3306_TCP": "x", "API_KEY": "x", "HOME": "/"}
    assert [one for one in (await examined(known)).findings if one.status == "warning"] == [
        found(await examined({}), "backups")
    ]


def test_the_example_passwords_are_those_of_the_example() -> None:
    text = (ROOT / ".env.example").read_text(encoding="utf-8")
    for field, password in configuration.EXAMPLES.items():
        assert f"\n{field.upper()}={password}\n" in text


async def test_an_example_password_is_a_warning() -> None:
    finding = found(await examined({"API_PASS": "change-me"}), "users")
    assert (finding.status, finding.remedy) == ("warning", "Change API_PASS.")


async def test_a_server_needs_a_password_for_the_api() -> None:
    report = await examined({"API_PASS": ""})
    assert wrong(report) == {"users", "database"}
    assert found(report, "users").text.startswith("API_PASS")


@pytest.mark.parametrize(
    ("line", "mode", "text"),
    [
        ("etl:king:{hash}", 0o600, "line 1"),
        ("etl:reader:$argon2id$v=19$m=64,t=1,p=1$cut", 0o600, "line 1"),
        ("etl:reader:{hash}\netl:writer:{hash}", 0o600, "names etl 2 times"),
        ("etl:reader:{hash}", 0o644, "chmod o="),
    ],
)
async def test_a_file_of_users_is_read(tmp_path: Path, line: str, mode: int, text: str) -> None:
    file = tmp_path / "users"
    file.write_text(line.format(hash=hashed("x")))
    file.chmod(mode)
    report = await examined({"API_USERS": str(file)})
    assert wrong(report) == {"users", "database"}
    assert text in found(report, "users").text


@pytest.mark.parametrize(("mode", "status"), [(0o640, "ok"), (0o660, "warning")])
async def test_a_group_may_read_the_file_of_users(tmp_path: Path, mode: int, status: str) -> None:
    file = tmp_path / "users"
    file.write_text(f"etl:reader:{hashed('x')}")
    file.chmod(mode)
    report = await examined({"API_USERS": str(file)})
    assert found(report, "users").status == status


async def test_a_package_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(configuration, "find_spec", {}.get)
    report = await examined({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"})
    assert found(report, "packages").remedy == "Install hirebase[otel]."


def of(name: str, settings: Settings) -> Finding:
    (finding,) = [one for one in folders.folders(settings) if one.check == name]
    return finding


def test_a_folder_that_does_not_exist_yet_is_not_made(tmp_path: Path) -> None:
    finding = of("BACKUP_DIR", Settings(backup_dir=tmp_path / "a" / "b"))
    assert (finding.status, "creates it" in finding.text) == ("ok", True)
    assert list(tmp_path.iterdir()) == []


def test_a_file_instead_of_a_folder_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    for folder in (file, file / "backups"):
        finding = of("BACKUP_DIR", Settings(backup_dir=folder))
        assert finding.status == "error"
        assert f"({file})" in finding.text


@contextmanager
def as_nobody() -> Iterator[None]:
    """Root may write everywhere, so be another user."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_folder_that_cannot_be_written_is_an_error() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o555)
        with as_nobody():
            finding = of("REJECTS_DIR", Settings(rejects_dir=folder))
        folder.chmod(0o755)
    assert finding.status == "error"
    assert "Permission denied" in finding.text
    assert "REJECTS_DIR" in finding.remedy


def test_a_full_disk_asks_for_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    finding = of("BACKUP_DIR", Settings(backup_dir=tmp_path))
    assert (finding.status, "No space left" in finding.text) == ("error", True)
    assert finding.remedy == "Make room, or set BACKUP_DIR to another folder."


@pytest.mark.parametrize(("limit", "status"), [("LITTLE_ROOM", "warning"), ("NO_ROOM", "error")])
def test_little_room_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, status: str
) -> None:
    monkeypatch.setattr(folders, limit, 1 << 80)
    assert of("BACKUP_DIR", Settings(backup_dir=tmp_path)).status == status


def test_a_folder_without_files_to_load_is_a_warning(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "missing"):
        finding = of("DATA_DIR", Settings(data_dir=folder))
        assert (finding.status, str(folder) in finding.text) == ("warning", True)


async def test_the_age_of_the_newest_backup_counts(database: Database, tmp_path: Path) -> None:
    settings = Settings(backup_dir=tmp_path)
    assert backups(settings, None).status == "warning"
    assert backups(settings, 1).status == "error"
    saved = await BackupStore(tmp_path).save(database, None, "null")
    for limit in (None, 1):
        finding = backups(settings, limit)
        assert (finding.status, saved.name in finding.text) == ("ok", True)
    (tmp_path / saved.name).rename(tmp_path / "hirebase-20210727T160208.000000Z.zip")
    assert backups(settings, None).status == "warning"
    assert backups(settings, 24).status == "error"
    assert backups(settings, 24 * 366 * 1000).status == "ok"


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


async def test_a_key_of_another_certificate_is_an_error(pair: tuple[Path, Path]) -> None:
    assert api_tls(pair).status == "warning"
    pair[1].write_bytes(Authority.new("Ours").issue("a")[1])
    variables = {"API_TLS_CERT": str(pair[0]), "API_TLS_KEY": str(pair[1])}
    finding = found(await examined(variables), "api_tls")
    assert finding.status == "error"
    assert finding.text.startswith("API_TLS_KEY")
