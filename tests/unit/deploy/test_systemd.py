"""deploy/systemd is valid for systemd and restricted, and agrees with settings and commands."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

import service.__main__
from service.core.settings import Settings

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "deploy" / "systemd"
UNITS = ["hirebase.service", "hirebase-backup.service"]
PROGRAM = "/opt/hirebase/.venv/bin/python -m service "
VARIABLES = {field.name.upper() for field in msgspec.structs.fields(Settings)}
MAX_EXPOSURE = 20
"""In tenths. systemd-analyze calls a service with less than 20 safe; without limits it has 96."""
of_units = pytest.mark.parametrize("name", UNITS)


def text(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")


def value(unit: str, key: str) -> str:
    (found,) = re.findall(rf"(?m)^{key}=(.*)$", text(unit))
    return str(found)


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("this machine has no systemd-analyze (apt-get install systemd)")
    command = ["systemd-analyze", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The units with the Python of this machine, because systemd checks that the program exists."""
    for path in FOLDER.iterdir():
        program = text(path.name).replace(PROGRAM.split(maxsplit=1)[0], sys.executable)
        (tmp_path / path.name).write_text(program, encoding="utf-8")
    return tmp_path


def test_systemd_accepts_the_units(installed: Path) -> None:
    units = [str(installed / name) for name in [*UNITS, "hirebase-backup.timer"]]
    found = analyze("verify", "--man=no", "--recursive-errors=no", *units)
    assert (found.returncode, found.stderr) == (0, "")


def test_systemd_finds_a_mistake(installed: Path) -> None:
    unit = installed / UNITS[0]
    unit.write_text(text(UNITS[0]).replace("PrivateTmp", "PrivatTmp"), encoding="utf-8")
    found = analyze("verify", "--man=no", "--recursive-errors=no", str(unit))
    assert "PrivatTmp" in found.stderr


@of_units
def test_systemd_calls_the_units_safe(installed: Path, name: str) -> None:
    found = analyze(
        "security", "--offline=yes", f"--threshold={MAX_EXPOSURE}", str(installed / name)
    )
    assert found.returncode == 0, found.stdout


def test_both_units_have_the_same_user_settings_and_limits() -> None:
    def limits(name: str) -> str:
        return text(name).partition("# It reads its program")[2].partition("\n[Install]")[0].strip()

    assert limits(UNITS[0])
    assert limits(UNITS[0]) == limits(UNITS[1])
    for key in ("User", "Group", "EnvironmentFile", "WorkingDirectory", "StateDirectory", "UMask"):
        assert value(UNITS[0], key) == value(UNITS[1], key)


@of_units
def test_every_command_is_one_of_the_program(name: str) -> None:
    start = value(name, "ExecStart")
    assert start.startswith(PROGRAM)
    command, *arguments = start.removeprefix(PROGRAM).split()
    service.__main__.main.commands[command].make_context(command, arguments)


@of_units
def test_every_variable_is_one_that_the_program_reads(name: str) -> None:
    lines = re.findall(r"(?m)^Environment=(.*)$", text(name))
    own = set(re.findall(r"([A-Z_]+)=", " ".join(lines))) - {"PYTHONDONTWRITEBYTECODE"}
    shared = set(re.findall(r"(?m)^([A-Z_]+)=", text("hirebase.env")))
    assert {"REJECTS_DIR", "BACKUP_DIR"} <= own
    assert {"MYSQL_HOST", "MYSQL_PASSWORD_FILE", "API_PASS_FILE"} <= shared
    assert {variable.removesuffix("_FILE") for variable in own | shared} <= VARIABLES


def test_the_values_can_be_used(tmp_path: Path) -> None:
    given = dict(re.findall(r"(?m)^([A-Z_]+)=(.*)$", text("hirebase.env")))
    for name in [name for name in given if name.endswith("_FILE")]:
        given[name] = str(tmp_path / name)
        (tmp_path / name).write_text("secret\n", encoding="utf-8")
    settings = Settings.from_environment(given).with_password()
    assert not settings.embedded
    assert (settings.mysql_password, settings.api_pass) == ("secret", "secret")
    stop = settings.api_shutdown_delay + settings.mysql_timeout
    assert int(value(UNITS[0], "TimeoutStopSec")) >= stop + 10


def test_the_timer_starts_the_backup_and_the_service_does_not_repeat_wrong_settings() -> None:
    assert "OnCalendar=" in text("hirebase-backup.timer")
    assert (FOLDER / "hirebase-backup.timer").with_suffix(".service").exists()
    assert value(UNITS[0], "RestartPreventExitStatus") == "2"  # the exit code of a SettingsError


def test_the_page_names_every_file() -> None:
    page = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
    assert [path.name for path in FOLDER.iterdir() if path.name not in page] == []
