"""The image: small, without a shell, with its bill of materials; it serves as it is restricted."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from service import __version__
from service.core.settings import Settings
from tests.support import engine
from tests.support.certificates import Authority
from tests.support.processes import free_port
from tests.support.program import ROOT

pytestmark = pytest.mark.timeout(600)  # the first build installs the packages
BASE = "python:3.13-slim"
MAX_MEGABYTES = 110
READY_SECONDS = 60
START_SECONDS = 2
"""Processor time until the service is ready. Other programs do not change it, unlike the time."""
TICKS = 100
"""Units of processor time in a second, in /proc."""
RESTRICTED = ("--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--network", "host")
EVERYTHING = """
import pkgutil, importlib, loader, service, sql
for root in (loader, service, sql):
    for module in pkgutil.walk_packages(root.__path__, root.__name__ + "."):
        if module.name.rpartition(".")[2] != "__main__":
            importlib.import_module(module.name)
from service.core.settings import Settings
from service.web.app import create_app
print(len(create_app(Settings(api_pass="unused")).openapi_schema.to_schema()["paths"]))
"""
INSTALLED = """
import importlib.metadata as metadata, json
print(json.dumps({one.name: one.version for one in metadata.distributions()}))
"""


def docker(*arguments: str) -> str:
    """The output of a command of docker that succeeds."""
    ended = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.strip()


@pytest.fixture(scope="module")
def image() -> str:
    """The id of the image: other runs on this machine use the same name."""
    if shutil.which("docker") is None or not engine.has_container_engine():
        pytest.skip("no container engine to build the image with")
    if not docker("image", "ls", "--quiet", BASE):
        pytest.skip(f"no image {BASE} to build from")
    build = [str(ROOT / "deploy" / "image" / "build.sh"), "--quiet"]
    out = subprocess.run(build, check=True, capture_output=True, text=True).stdout
    return out.split()[-1]


@pytest.fixture(scope="module")
def inspected(image: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(docker("image", "inspect", image))[0]
    return found


def python(image: str, program: str) -> str:
    return docker("run", "--rm", "--entrypoint", "python", image, "-c", program)


def test_it_is_small_and_says_what_it_is(inspected: dict[str, Any]) -> None:
    assert inspected["Size"] < MAX_MEGABYTES * 1_000_000
    config = inspected["Config"]
    assert config["User"] == "10001:10001"
    assert config["Healthcheck"]["Test"] == ["CMD", "python", "-m", "service.healthcheck"]
    prefix = "org.opencontainers.image."
    labels = {name.removeprefix(prefix): value for name, value in config["Labels"].items()}
    assert (labels["version"], labels["base.name"]) == (__version__, BASE)
    assert re.fullmatch("[0-9a-f]{40}", labels["revision"])
    base = json.loads(docker("image", "inspect", BASE))[0]
    names = [base["Id"], *(digest.partition("@")[2] for digest in base["RepoDigests"])]
    assert labels["base.digest"] in names
    assert "" not in labels.values()


@pytest.mark.parametrize("program", ["/bin/sh", "/bin/bash", "pip", "apt-get"])
def test_it_has_no_shell_and_no_package_manager(image: str, program: str) -> None:
    ended = subprocess.run(
        ["docker", "run", "--rm", "--entrypoint", program, image], capture_output=True, check=False
    )
    assert ended.returncode == 127


def test_no_module_misses_a_package(image: str) -> None:
    """The build removes packages that only other parts of Litestar need."""
    assert int(python(image, EVERYTHING)) > 10


def test_the_bill_of_materials_lists_what_is_installed(image: str, tmp_path: Path) -> None:
    file = tmp_path / "hirebase.cdx.json"
    container = docker("create", image)
    docker("cp", f"{container}:/usr/share/sbom/hirebase.cdx.json", str(file))
    docker("rm", container)
    bill = json.loads(file.read_text(encoding="utf-8"))
    listed = {each["name"]: each["version"] for each in bill["components"]}
    installed = json.loads(python(image, INSTALLED))
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    locked = dict(re.findall(r"(?m)^([\w-]+)==([\w.]+)", lock))
    assert bill["bomFormat"] == "CycloneDX"
    assert listed == installed
    assert {re.sub("[-_.]+", "-", name).lower(): listed[name] for name in listed}.items() <= (
        locked.items()
    )


@pytest.fixture
def tls(tmp_path: Path) -> Path:
    """A folder with a certificate and a key that the user of the image may read."""
    certificate, key = Authority.new("Ours").issue("localhost")
    (tmp_path / "cert.pem").write_bytes(certificate)
    (tmp_path / "key.pem").write_bytes(key)
    (tmp_path / "key.pem").chmod(0o644)
    tmp_path.chmod(0o755)
    return tmp_path


@pytest.fixture(params=["http", "https"])
def container(
    request: pytest.FixtureRequest, image: str, migrated: Settings, tls: Path
) -> Iterator[str]:
    """A container of the service on the database of the tests."""
    if migrated.embedded:
        pytest.skip("the image has no embedded database")
    settings = msgspec.structs.replace(
        migrated, api_port=free_port(), rejects_dir=Path("/rejects"), backup_dir=Path("/backups")
    )
    variables = engine.environment(settings) | {"API_HOST": "0.0.0.0"}
    if request.param == "https":
        variables |= {"API_TLS_CERT": "/tls/cert.pem", "API_TLS_KEY": "/tls/key.pem"}
    given = [part for name, value in variables.items() for part in ("-e", f"{name}={value}")]
    mount = ("--volume", f"{tls}:/tls:ro")
    name = docker("run", "--detach", *RESTRICTED, *mount, *given, image)
    yield name
    docker("rm", "--force", "--volumes", name)


def test_it_becomes_healthy_with_little_work_and_stops_at_a_signal(container: str) -> None:
    end = time.monotonic() + READY_SECONDS
    status = ("inspect", "--format", "{{.State.Health.Status}}", container)
    while docker(*status) != "healthy":
        assert time.monotonic() < end, docker("logs", container)
        time.sleep(0.2)
    fields = docker("exec", container, "python", "-c", "print(open('/proc/1/stat').read())").split()
    assert sum(map(int, fields[13:15])) / TICKS < START_SECONDS
    docker("stop", container)
    assert docker("inspect", "--format", "{{.State.ExitCode}}", container) == "0"
