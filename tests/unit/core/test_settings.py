"""Settings: every variable, as a value or a file; errors name the variable."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from service.core.errors import SettingsError
from service.core.settings import NEEDED, OLD_NAMES, Settings

INTERNAL = re.compile("Expected|enum|regex|Errno|codec")
"""Words of the libraries that read values."""
NAMES = [field.name for field in msgspec.structs.fields(Settings)]


def error_of(environment: dict[str, str]) -> str:
    with pytest.raises(SettingsError) as caught:
        Settings.from_environment(environment)
    return str(caught.value)


def test_without_variables_the_embedded_database_is_served_on_loopback() -> None:
    settings = Settings.from_environment({})
    assert settings.embedded
    assert (settings.api_host, settings.api_port) == ("127.0.0.1", 8000)


def test_with_a_host_the_database_is_not_embedded() -> None:
    assert not Settings.from_environment({"MYSQL_HOST": "db"}).embedded


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MYSQL_PORT", "0"),
        ("MYSQL_PORT", "65536"),
        ("MYSQL_PORT", "mysql"),
        ("API_PORT", "-1"),
        ("MYSQL_POOL_SIZE", "0"),
        ("MYSQL_READ_HOST", "a,,b"),
        ("MYSQL_READ_HOST", "replica"),  # the embedded database has none
        ("MYSQL_POOL_SIZE", "ten"),
        ("MYSQL_TIMEOUT", "0"),
        ("MYSQL_WAIT", "-1"),
        ("MYSQL_DATABASE", "hire base"),
        ("MYSQL_DATABASE", "hirebase`; DROP DATABASE mysql"),
        ("MYSQL_DATABASE", "x" * 65),
        *(("API_MAX_UPLOAD", size) for size in ("0", "-1", "G", "1.5G", "1T", "9" * 30, "1 G")),
        ("LOG_LEVEL", "loud"),
        ("LOG_FORMAT", "xml"),
    ],
)
def test_a_bad_value_names_its_variable(name: str, value: str) -> None:
    message = error_of({name: value})
    assert message.startswith(f"{name}: ")
    assert not INTERNAL.search(message)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("MYSQL_PORT", "x", "write a whole number from 1 to 65535"),
        ("MYSQL_POOL_SIZE", "1", "write a whole number, at least 2"),
        ("MYSQL_MAX_TRANSACTION_ROWS", "0", "write a whole number, at least 1"),
        ("LOG_FORMAT", "xml", "write console or json"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "x", "write a URL that begins with http:// or https://"),
    ],
)
def test_a_bad_value_says_what_to_write(name: str, value: str, says: str) -> None:
    assert error_of({name: value}) == f"{name}: {says}"


@pytest.mark.parametrize(
    ("text", "size", "shown"),
    [
        ("1025", 1025, "1025"),
        ("1k", 1024, "1K"),
        ("1536M", 3 << 29, "1536M"),
        ("16G", 16 << 30, "16G"),
        ("17179869184", 16 << 30, "16G"),
    ],
)
def test_a_size_may_have_a_unit(text: str, size: int, shown: str) -> None:
    settings = Settings.from_environment({"API_MAX_UPLOAD": text})
    assert (settings.api_max_upload, str(settings.api_max_upload)) == (size, shown)


def test_one_error_names_all_bad_values() -> None:
    lines = error_of({"MYSQL_PORT": "x", "API_PORT": "y", "LOG_LEVEL": "z"}).splitlines()
    assert [line.partition(":")[0] for line in lines] == ["MYSQL_PORT", "API_PORT", "LOG_LEVEL"]


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_variable_counts_as_not_set(name: str) -> None:
    assert Settings.from_environment({name.upper(): ""}) == Settings()


@pytest.mark.parametrize("name", NAMES)
def test_any_variable_may_be_a_file(tmp_path: Path, name: str) -> None:
    file = tmp_path / "value"
    value = _valid_value(name)
    file.write_text(f"{value}\n")
    others = {needed.upper(): "127.0.0.1" for one, needed, _ in NEEDED if one == name}
    by_file = Settings.from_environment(others | {f"{name.upper()}_FILE": str(file)})
    assert by_file == Settings.from_environment(others | {name.upper(): value})
    assert by_file != Settings()


def _valid_value(name: str) -> str:
    """A valid value that is not the default."""
    others = {
        "log_level": "error",
        "log_format": "json",
        "api_pass_hash": "$argon2id$v=19$m=64,t=1,p=1$MTYgYnl0ZXMgb2Ygc2Fs$c2FsdA",
        "otel_exporter_otlp_endpoint": "https://collector.test:4318",
    }
    return others.get(name, "4711")


def test_a_variable_and_its_file_together_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "pass"
    file.write_text("secret")
    message = error_of({"API_PASS": "other", "API_PASS_FILE": str(file)})
    assert message.startswith("API_PASS: ")
    assert "not both" in message


def test_an_empty_variable_is_read_from_its_file(tmp_path: Path) -> None:
    file = tmp_path / "pass"
    file.write_text("secret")
    environment = {"API_PASS": "", "API_PASS_FILE": str(file)}
    assert Settings.from_environment(environment).api_pass == "secret"


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_file_that_cannot_be_read_names_its_variable(
    tmp_path: Path, content: bytes | None
) -> None:
    file = tmp_path / "password"
    if content is not None:
        file.write_bytes(content)
    message = error_of({"MYSQL_PASSWORD_FILE": str(file)})
    assert message.startswith(f"MYSQL_PASSWORD: {file} (MYSQL_PASSWORD_FILE) ")
    assert not INTERNAL.search(message)


@pytest.mark.parametrize("name", ["API_PASS", "MYSQL_PASSWORD"])
def test_an_error_never_contains_a_secret(tmp_path: Path, name: str) -> None:
    file = tmp_path / "secret"
    file.write_text("hush-hush")
    assert "hush" not in error_of({name: "hush", f"{name}_FILE": str(file), "API_PORT": "x"})


def test_a_password_is_generated_for_the_embedded_database_only() -> None:
    one, other = Settings().with_password(), Settings().with_password()
    assert len(one.api_pass) >= 12
    assert one.api_pass != other.api_pass
    with pytest.raises(SettingsError, match=r"^API_PASS"):
        Settings(mysql_host="db").with_password()


def test_a_given_password_is_kept() -> None:
    assert Settings(mysql_host="db", api_pass="päss").with_password().api_pass == "päss"


@pytest.mark.parametrize(("name", "old"), OLD_NAMES.items())
def test_a_variable_is_read_under_its_old_name(name: str, old: str) -> None:
    field = name.lower()
    assert getattr(Settings.from_environment({old: "17"}), field) == 17
    assert getattr(Settings.from_environment({old: "17", name: "18"}), field) == 18
