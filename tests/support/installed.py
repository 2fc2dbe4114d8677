"""A virtual environment with a wheel and the packages that it asks for, and no others."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import distribution, distributions
from pathlib import Path
from zipfile import ZipFile

from packaging.metadata import parse_email
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.processes import wait_until_ready


class Installed:
    """The environment; its commands run in `folder`, which is empty at first."""

    def __init__(self, place: Path, wheel: Path, extra: str, variables: Mapping[str, str]):
        self.folder = place / "work"
        self.folder.mkdir()
        self._bin = place / "venv" / "bin"
        self._environment = {
            "PATH": os.environ["PATH"],
            "PYTHONWARNINGS": "error",
            "PYTHONUNBUFFERED": "1",
            **variables,
        }
        venv.create(place / "venv")
        _link_packages(place / "venv", _requirements(wheel), extra)
        # Without an index, pip installs only if the linked packages are all that the wheel needs.
        pip = (sys.executable, "-m", "pip", "--python", str(self._bin / "python"))
        options = ("--quiet", "--disable-pip-version-check", "--no-index")
        subprocess.run([*pip, "install", *options, f"{wheel}[{extra}]"], check=True, timeout=60)

    def run(
        self,
        *command: str,
        text: str = "",
        code: int = 0,
        variables: Mapping[str, str] | None = None,
    ) -> str:
        """The output of a command, which must end with `code`; text: its standard input."""
        ended = subprocess.run(
            [self._bin / command[0], *command[1:]],
            cwd=self.folder,
            env=self._environment | dict(variables or {}),
            input=text,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )
        assert ended.returncode == code, f"{command}: {ended.returncode}\n{ended.stdout}"
        return ended.stdout

    def typed(self, shell: str, text: str, variables: Mapping[str, str]) -> str:
        """What an interactive shell shows in a terminal, whose user types a text."""
        path = f"{self._bin}:{os.environ['PATH']}"
        return subprocess.run(
            ["script", "--quiet", "--command", f"{shell} -i", "/dev/null"],
            cwd=self.folder,
            env={"PATH": path, **variables},
            input=text,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=60,
            check=False,
        ).stdout

    @contextmanager
    def serving(self, port: int, *command: str) -> Iterator[Path]:
        """A running service on a port; yields the file with its output."""
        output = self.folder / "output"
        with (
            output.open("w") as file,
            subprocess.Popen(
                [self._bin / command[0], *command[1:]],
                cwd=self.folder,
                env=self._environment,
                stdout=file,
                stderr=subprocess.STDOUT,
            ) as process,
        ):
            try:
                wait_until_ready(process, port)
                yield output
            finally:
                process.terminate()


def _requirements(wheel: Path) -> list[Requirement]:
    with ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata, _ = parse_email(archive.read(name))
    return list(map(Requirement, metadata["requires_dist"]))


def _link_packages(environment: Path, requirements: list[Requirement], extra: str) -> None:
    """Make the installed packages available that the requirements ask for, also indirectly."""
    here = Path(sysconfig.get_path("purelib"))
    paths = {"base": str(environment), "platbase": str(environment)}
    there = Path(sysconfig.get_path("purelib", vars=paths))
    for name in _needed(requirements, {extra}):
        for file in distribution(name).files or []:
            top = file.parts[0]
            if top not in ("..", "__pycache__") and not (there / top).exists():
                (there / top).symlink_to(here / top)


def _needed(requirements: list[Requirement], extras: set[str]) -> set[str]:
    """The names of the packages that are needed; those of other Pythons are left out."""
    known = {canonicalize_name(one.name) for one in distributions()}
    needed: set[str] = set()
    queue = [(one, extras) for one in requirements]
    seen = set()
    while queue:
        one, asked = queue.pop()
        key = (canonicalize_name(one.name), frozenset(one.extras))
        if key in seen or not _applies(one, asked):
            continue
        assert key[0] in known, f"{one} is not installed here"
        seen.add(key)
        needed.add(key[0])
        queue += [
            (Requirement(text), set(one.extras)) for text in distribution(one.name).requires or []
        ]
    return needed


def _applies(requirement: Requirement, extras: set[str]) -> bool:
    marker = requirement.marker
    return marker is None or any(marker.evaluate({"extra": extra}) for extra in {"", *extras})
