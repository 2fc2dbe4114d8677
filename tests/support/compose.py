"""The compose files as projects of their own: real containers, which a test kills and starts."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self

from tests.support.load import PASSWORD, USER, Line, request
from tests.support.processes import free_port
from tests.support.program import Ended

ROOT = Path(__file__).parents[2]
IMAGES = ("mysql:9.7", "python:3.13-slim")
PROXY = "haproxy:3.2"
NODES = ("db-1", "db-2", "db-3")
ROOT_PASSWORD = "root-password"
SECRETS = {
    "MYSQL_PASSWORD": "pass'word\\1",
    "MYSQL_ROOT_PASSWORD": ROOT_PASSWORD,
    "MYSQL_REPLICATION_PASSWORD": "copy\"ing'1",
    "API_USER": USER,
    "API_PASS": PASSWORD,
}
"""The passwords need quoting in SQL."""
MEMBERS = (
    "SELECT CONCAT_WS(' ', member_host, member_state, member_role) "
    "FROM performance_schema.replication_group_members ORDER BY 1"
)
STARTED_SECONDS, COMPLETE_SECONDS = 500, 400


def missing(*more: str) -> str | None:
    """What this machine lacks to run a file; more: further images."""
    if shutil.which("docker") is None or not _succeeds("compose", "version"):
        return "docker compose"
    names = [*IMAGES, *more]
    return ", ".join(name for name in names if not _succeeds("image", "inspect", name)) or None


class Project:
    """The services of a file; `port` is the one on this machine."""

    def __init__(self, file: str, env_file: Path):
        self.port = free_port()
        self._file = ROOT / file
        self._name = f"hirebase-test-{self.port}"
        self._env_file = env_file

    @classmethod
    @asynccontextmanager
    async def running(cls, file: str, folder: Path, environment: str) -> AsyncIterator[Self]:
        """All services, up and ready; environment: the text of the file of variables."""
        project = cls(file, folder / "env")
        project._env_file.write_text(f"{environment}\nAPI_PORT={project.port}\n")
        try:
            await project.run("build", "--quiet", "loader")
            await project.run("up", "--detach", "--no-build", seconds=STARTED_SECONDS)
            await project.wait_ready()
            yield project
        finally:
            await project.run("down", "--volumes", "--timeout", "2")

    async def run(self, *arguments: str, seconds: float = STARTED_SECONDS) -> str:
        """The output of a command of compose that succeeds."""
        ended = await self.attempt(*arguments, seconds=seconds)
        assert ended.code == 0, f"docker compose {' '.join(arguments)}:\n{ended.out}{ended.err}"
        return ended.out

    async def attempt(self, *arguments: str, seconds: float = STARTED_SECONDS) -> Ended:
        """A command of compose, whether it succeeds or not."""
        process = await asyncio.create_subprocess_exec(
            *("docker", "compose", "--progress", "quiet", "--project-name", self._name),
            *("--file", str(self._file), "--env-file", str(self._env_file), *arguments),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(seconds):
            out, err = await process.communicate()
        return Ended(process.returncode, out.decode(), err.decode())

    async def wait_ready(self, seconds: float = 120) -> None:
        """Wait until the API is ready."""
        end = time.monotonic() + seconds
        while await self.status("/health/ready") != 200:
            assert time.monotonic() < end, await self.attempt("ps", "--all")
            await asyncio.sleep(0.2)

    async def status(self, path: str, **headers: str) -> int | None:
        """The status of a GET; None without a reply."""
        line = Line(self.port)
        try:
            return (await line.send(request("GET", path, b"", **headers))).status
        except (OSError, EOFError):
            return None
        finally:
            line.close()


class ComposeCluster(Project):
    """compose.cluster.yaml; `port` is that of the proxy."""

    @classmethod
    @asynccontextmanager
    async def of(cls, folder: Path, data: Path) -> AsyncIterator[Self]:
        """All services, up and ready; data: the folder of the CSV files that are loaded."""
        values = SECRETS | {"DATA_DIR": str(data)}
        text = "\n".join(f'{name}="{_escaped(value)}"' for name, value in values.items())
        async with cls.running("compose.cluster.yaml", folder, text) as cluster:
            yield cluster

    async def form_group(self, **variables: str) -> Ended:
        """Run the one-shot service that forms the group, as an operator does."""
        changed = [part for name in variables for part in ("-e", f"{name}={variables[name]}")]
        return await self.attempt("run", "--rm", "--no-deps", "-T", *changed, "group")

    async def sql(self, node: str, statements: str) -> list[list[str]]:
        """The rows that statements print, run as root on a node."""
        client = ("mysql", "--host=127.0.0.1", "--user=root", "--skip-column-names", "--batch")
        secret = ("-e", f"MYSQL_PWD={ROOT_PASSWORD}")
        out = await self.run("exec", "-T", *secret, node, *client, "--execute", statements)
        return [line.split("\t") for line in out.splitlines()]

    async def members(self, node: str) -> list[str]:
        """`host state role` of each member that a node sees."""
        return [member for (member,) in await self.sql(node, MEMBERS)]

    async def primary(self) -> str:
        """The node that takes writes; it may be asked only of a complete group."""
        members = [member.split(" ") for member in await self.members(NODES[0])]
        return next(host for host, _, role in members if role == "PRIMARY")

    async def wait_complete(self) -> None:
        """Wait until every node sees every node in the group."""
        end = time.monotonic() + COMPLETE_SECONDS
        while not all([_is_complete(await self._members_if_up(node)) for node in NODES]):
            assert time.monotonic() < end, [await self._members_if_up(node) for node in NODES]
            await asyncio.sleep(0.5)

    async def remove_data(self, node: str) -> None:
        """Remove a node and its volume."""
        await self.run("rm", "--stop", "--force", node)
        remove = ("docker", "volume", "rm", f"{self._name}_{node}")
        process = await asyncio.create_subprocess_exec(*remove)
        assert await process.wait() == 0

    async def end(self) -> None:
        """Nothing: clients of tests end the services that they started, and these are shared."""

    async def _members_if_up(self, node: str) -> list[str]:
        try:
            return await self.members(node)
        except AssertionError:
            return []


def _is_complete(members: list[str]) -> bool:
    return sum(" ONLINE " in member for member in members) == len(NODES)


def _escaped(value: str) -> str:
    """A value between double quotes of an env file."""
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("$", "$$")


def _succeeds(*arguments: str) -> bool:
    finished = subprocess.run(["docker", *arguments], capture_output=True, check=False, timeout=60)
    return finished.returncode == 0
