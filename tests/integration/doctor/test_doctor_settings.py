"""Doctor on settings and credentials."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.cli.doctor import configuration
from service.cli.doctor.command import lines
from service.cli.doctor.examination import examine
from service.cli.doctor.findings import Report
from service.core.settings import SECRETS
from tests.integration.doctor.conftest import found, wrong
from tests.support.passwords import hashed
from tests.support.program import ROOT

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


async def test_api_user_is_no_user_without_a_password(tmp_path: Path) -> None:
    file = tmp_path / "users"
    file.write_text(f"etl:reader:{hashed('x')}")
    file.chmod(0o600)
    variables = {"API_USERS": str(file)}
    assert found(await examined(variables), "users").text == "admin, and 1 in API_USERS"
    report = await examined(variables | {"API_PASS": ""})
    assert found(report, "users").text == "1 in API_USERS"


async def test_a_package_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(configuration, "find_spec", {}.get)
    report = await examined({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"})
    assert found(report, "packages").remedy == "Install hirebase[otel]."
