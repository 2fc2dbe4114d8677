"""The commands of each page run against the real service and print what the page shows.

Each page gets a fresh service with the sample data, so its ids depend on no other page.

A `console` block holds commands and their output. A command starts with `$ `, and its further lines
with `> `. `…` stands for text that differs from run to run. White space does not count, so that
long replies can be wrapped. `sh` blocks do not run; the services that they name must exist.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.support.processes import database_folder, free_port, wait_until_ready

ROOT = Path(__file__).parents[2]
PAGES = {
    str(page.relative_to(ROOT)): page.read_text(encoding="utf-8")
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
}
ADDRESS = "127.0.0.1:8000"
START = "make run"


@dataclass(frozen=True)
class Example:
    """A command and the output that the page shows."""

    line: int
    command: str
    output: str


def blocks(language: str, text: str) -> Iterator[tuple[int, str]]:
    """(line, text) of each fenced block in a language."""
    for found in re.finditer(rf"(?ms)^```{language}\n(.*?)^```$", text):
        yield text.count("\n", 0, found.start(1)) + 1, found[1]


def examples(page: str) -> list[Example]:
    """The examples in the console blocks of a page, in their order."""
    return [
        Example(
            first + text.count("\n", 0, found.start()),
            re.sub(r"(?m)^> ", "", found[1]),
            found[2],
        )
        for first, text in blocks("console", PAGES[page])
        for found in re.finditer(r"(?m)^\$ (.*\n(?:> .*\n)*)((?:(?!\$ ).*\n)*)", text)
    ]


WITH_EXAMPLES = [page for page in PAGES if examples(page)]


def matches(shown: str, printed: str) -> bool:
    """Whether a text matches: `…` is any text without a quote, and white space does not count."""
    parts = ["".join(part.split()) for part in shown.split("…")]
    pattern = '[^"]*?'.join(map(re.escape, parts))
    return re.fullmatch(pattern, "".join(printed.split())) is not None


@dataclass(frozen=True)
class Checkout:
    """A folder like a checkout, with a running service."""

    folder: Path
    port: int
    greeting: Path

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def run(self, command: str) -> str:
        """The output of a command, with the address that the pages use."""
        if START in command:
            return self._started()
        command = command.replace(ADDRESS, self.address)
        command = command.replace(".venv/bin/python", shlex.quote(sys.executable))
        finished = subprocess.run(
            ["bash", "-c", command],
            cwd=self.folder,
            env=environment(self.folder, API_PORT=str(self.port)),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )
        return finished.stdout.replace(self.address, ADDRESS)

    def _started(self) -> str:
        lines = self.greeting.read_text(encoding="utf-8").splitlines()
        greeting = lines[: 1 + max(at for at, line in enumerate(lines) if "Password:" in line)]
        return "\n".join(greeting).replace(self.address, ADDRESS)


def environment(folder: Path, **more: str) -> dict[str, str]:
    """The environment of a shell, without settings of hirebase."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    # curl reads .curlrc there: no progress bar.
    return {**kept, "CURL_HOME": str(folder), "PYTHONUTF8": "1", **more}


@pytest.fixture
def checkout() -> Iterator[Checkout]:
    """The service as `make run` starts it, with the sample and a new embedded database."""
    with database_folder() as folder:
        for part in ("loader", "service", "sql"):
            (folder / part).symlink_to(ROOT / part)
        (folder / ".curlrc").write_text("silent\nshow-error\n")
        checkout = Checkout(folder, free_port(), folder / "greeting")
        with serving(checkout):
            yield checkout


@contextmanager
def serving(checkout: Checkout) -> Iterator[None]:
    recipe = re.search(
        r"^run:.*\n\t@exec \$\(BIN\)/python (.*) \$\(ARGS\)$", makefile(), re.MULTILINE
    )
    assert recipe, "the recipe of `make run` has changed: update this test"
    settings = environment(checkout.folder, API_PASS="secret", API_PORT=str(checkout.port))
    with checkout.greeting.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, *shlex.split(recipe[1])],
            cwd=checkout.folder,
            env=settings,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        try:
            wait_until_ready(process, checkout.port)
        except RuntimeError:
            pytest.fail(f"The service did not start:\n{checkout.greeting.read_text()}")
        yield
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)


def makefile() -> str:
    return (ROOT / "Makefile").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", WITH_EXAMPLES)
def test_the_commands_print_what_is_shown(checkout: Checkout, page: str) -> None:
    for example in examples(page):
        printed = checkout.run(example.command)
        assert matches(example.output, printed), (
            f"{page}:{example.line}\n$ {example.command}\n"
            f"--- shown\n{example.output}\n--- printed\n{printed}"
        )


def test_each_prompt_is_an_example() -> None:
    assert {"README.md", "docs/api.md", "docs/loader.md", "docs/backup.md"} <= set(WITH_EXAMPLES)
    for page, text in PAGES.items():
        prompts = re.findall(r"(?m)^ *\$ ", text)
        assert len(examples(page)) == len(prompts), page


def test_compose_has_the_services_that_the_pages_name() -> None:
    compose: dict[str, Any] = msgspec.yaml.decode((ROOT / "compose.yaml").read_bytes())
    text = "\n".join(text for page in PAGES.values() for _, text in blocks("sh", page))
    named = set(re.findall(r"docker compose (?:run --rm|exec|logs) ([a-z]+)", text))
    assert "docker compose up" in text
    assert named <= set(compose["services"])


@pytest.mark.parametrize(
    ("shown", "printed", "same"),
    [
        ('{"a":1}', '{"a":1}', True),
        ('{"a":1,\n "b":2}', '{"a":1,"b":2}', True),
        ('{"at":"…","b":2}', '{"at":"2021-07-27T16:02:08Z","b":2}', True),
        ('{"at":"…"}', '{"at":"now","b":"2"}', False),
        ('{"a":1}', '{"a":2}', False),
        ("one", "one two", False),
    ],
)
def test_different_output_does_not_match(shown: str, printed: str, same: bool) -> None:
    assert matches(shown, printed) is same
