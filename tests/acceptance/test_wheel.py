"""The wheel: what it holds, and its commands in an environment that has only what it asks for."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator, Sequence
from email import message_from_string
from email.message import Message
from pathlib import Path

import click
import httpx
import msgspec
import pytest

from service import __version__
from service.__main__ import main
from tests.support.installed import Installed
from tests.support.processes import database_folder, free_port
from tests.support.program import ROOT

PACKAGES = ("loader", "service", "sql")
WITHOUT_NETWORK = ("unshare", "--map-root-user", "--net")
SHELLS = {"bash": ".bashrc", "zsh": ".zshrc", "fish": ".config/fish/config.fish"}
"""Each shell, and its configuration in the home folder."""


def built(source: Path, folder: Path, *options: str, within: Sequence[str] = ()) -> Path:
    """The wheel of a source tree, built as `make dist` does; within: what starts the build."""
    command = [*within, sys.executable, "-m", "hatchling", "build", "--directory", str(folder)]
    subprocess.run([*command, *options], cwd=source, check=True, timeout=60)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel; the source archive is beside it."""
    return built(ROOT, tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        name = f"hirebase-{__version__}.dist-info/METADATA"
        return message_from_string(archive.read(name).decode())


def sources() -> set[str]:
    """The files of the program in this checkout."""
    return {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and path.suffix != ".pyc" and not path.name.endswith(".rejects.csv")
    }


def test_the_wheel_has_the_program_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert names == sources()
    assert {f"{package}/py.typed" for package in PACKAGES} < names
    assert "sql/migrations/0001_tables.sql" in names


def test_the_metadata_describe_the_program(metadata: Message) -> None:
    assert (metadata["Name"], metadata["Version"]) == ("hirebase", __version__)
    assert metadata["License-Expression"] == "MIT AND ISC"
    licenses = ["LICENSE", "service/web/console/static/icons-license.txt"]
    assert metadata.get_all("License-File") == licenses
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata.get_all("Provides-Extra") == ["embedded", "otel"]
    assert str(metadata.get_payload()).startswith((ROOT / "README.md").read_text()[:100])


def test_the_source_archive_has_no_tests_and_builds_the_same_wheel(
    wheel: Path, tmp_path: Path
) -> None:
    with tarfile.open(next(wheel.parent.glob("*.tar.gz"))) as archive:
        archive.extractall(tmp_path, filter="data")
    source = tmp_path / f"hirebase-{__version__}"
    assert {path.name for path in source.iterdir()} == {
        *(*PACKAGES, "pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md"),
        *("PKG-INFO", ".gitignore"),
    }
    again = built(source, tmp_path / "dist", "--target", "wheel")
    assert again.read_bytes() == wheel.read_bytes()


def test_the_build_needs_no_network(wheel: Path, tmp_path: Path) -> None:
    probe = [*WITHOUT_NETWORK, "true"]
    if not shutil.which(probe[0]) or subprocess.run(probe, check=False).returncode:
        pytest.skip("this machine gives a process no network of its own (unshare)")
    again = built(ROOT, tmp_path, within=WITHOUT_NETWORK)
    assert again.read_bytes() == wheel.read_bytes()
    assert len(list(tmp_path.glob("*.tar.gz"))) == 1


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def installed(wheel: Path, port: int) -> Iterator[Installed]:
    # Not below the folder of pytest: the socket of the embedded database has a short path.
    with database_folder() as place:
        variables = {"API_PASS": "secret", "API_PORT": str(port)}
        yield Installed(place, wheel, "embedded", variables)


def test_an_installed_program_loads_serves_backs_up_and_restores(
    installed: Installed, port: int
) -> None:
    run = installed.run
    assert run("hirebase", "--version") == f"hirebase, version {__version__}\n"
    assert "There is no embedded database" in run("hirebase", "doctor", code=1)
    with installed.serving(port, "hirebase", "serve") as output:
        assert run("hirebase", "migrate") == run("python", "-m", "service", "migrate")
        assert "1929 added, 70 rejected" in run("hirebase", "load")
        assert "No row was added or changed" in run("python", "-m", "loader")
        saved = run("hirebase", "backup")
        assert "2124 rows" in saved
        backup = f"var/backups/{saved.partition(':')[0]}"
        assert "employees: 1929 rows" in run("hirebase", "verify", backup)
        assert "table=employees restored=1929" in run("hirebase", "restore", backup)
        report = msgspec.json.decode(run("hirebase", "doctor", "--json"))
        assert report["healthy"]
        assert {one["check"] for one in report["findings"] if one["status"] != "ok"} == set()
        reply = httpx.get(f"http://127.0.0.1:{port}/employees?limit=1", auth=("admin", "secret"))
        assert (reply.status_code, len(reply.json()["rows"])) == (200, 1)
        page = httpx.get(f"http://127.0.0.1:{port}/", auth=("admin", "secret"))
        assert (page.status_code, "1,929" in page.text) == (200, True)
        for path in ("schema", "console/static/console.css"):
            assert httpx.get(f"http://127.0.0.1:{port}/{path}", auth=("admin", "secret")).is_success
    assert f"API: http://127.0.0.1:{port}" in output.read_text()


def test_an_installed_program_makes_and_checks_users(installed: Installed) -> None:
    hashed = ("hirebase", "users", "hash")
    line = installed.run(*hashed, "--name", "etl", "--role", "writer", text="secret\n")
    users = installed.folder / "users"
    users.write_text(line)
    users.chmod(0o600)
    assert installed.run("hirebase", "users", "check", "users") == "etl: writer\n"


def command_lines(group: click.Group, *words: str) -> Iterator[tuple[str, ...]]:
    """The words of each command, also of those in groups."""
    yield words
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from command_lines(command, *words, name)
        else:
            yield (*words, name)


@pytest.mark.parametrize("words", list(command_lines(main)), ids=" ".join)
def test_each_command_explains_itself_and_refuses_an_unknown_option(
    installed: Installed, words: tuple[str, ...]
) -> None:
    usage = f"Usage: {' '.join(('hirebase', *words))} ["
    assert installed.run("hirebase", *words, "--help").startswith(usage)
    refused = installed.run("hirebase", *words, "--no-such-option", code=2)
    assert "No such option '--no-such-option'" in refused


@pytest.mark.parametrize(
    ("extra", "package", "missing"), [("otel", "opentelemetry.sdk", "pylibseekdb")]
)
def test_an_extra_brings_its_packages(
    wheel: Path, tmp_path: Path, extra: str, package: str, missing: str
) -> None:
    installed = Installed(tmp_path, wheel, extra, {"API_PASS": "secret"})
    assert installed.run("python", "-c", f"import {package}") == ""
    text = installed.run("hirebase", "doctor", code=1)
    assert f"needs {missing}, which is not installed" in text
    assert "Install hirebase[embedded]" in text


@pytest.mark.parametrize(
    ("words", "proposed"),
    [
        ("hirebase ", {"serve", "load", "migrate", "backup", "doctor", "users", "verify"}),
        ("hirebase do", {"doctor"}),
        ("hirebase users ", {"hash", "check"}),
        ("hirebase backup --", {"--table", "--keep", "--codec"}),
    ],
)
def test_the_shell_completes_commands_and_options(
    installed: Installed, words: str, proposed: set[str]
) -> None:
    at = len(words.split(" ")) - 1
    variables = {"_HIREBASE_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(at)}
    lines = installed.run("hirebase", variables=variables).splitlines()
    assert proposed <= {line.partition(",")[2] for line in lines}


@pytest.mark.parametrize("shell", SHELLS)
def test_a_real_shell_completes_a_command_with_the_documented_lines(
    installed: Installed, tmp_path: Path, shell: str
) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} (apt-get install {shell})")
    rc = tmp_path / SHELLS[shell]
    rc.parent.mkdir(parents=True, exist_ok=True)
    page = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
    lines = re.findall(rf"(?m)^.+# ~/{re.escape(SHELLS[shell])}.*$", page)
    rc.write_text("\n".join([*lines, ""]))
    home = {"HOME": str(tmp_path), "TERM": "xterm"}
    # A completed word ends with a blank, so the option is one of `doctor`.
    shown = installed.typed(shell, "hirebase doct\t--help\nexit\n", home)
    assert "Usage: hirebase doctor [OPTIONS]" in shown
