"""Replicas of the service behind HAProxy, which uses the configuration of the cluster."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.support.load import Line, request
from tests.support.processes import free_port
from tests.support.waiting import until

CONFIGURATION = Path(__file__).parents[2] / "cluster" / "haproxy.cfg"
IMAGE = "haproxy:3.2"
READY = request("GET", "/health/ready")


def missing() -> str | None:
    """What this machine lacks to run the proxy."""
    if shutil.which("docker") is None:
        return "docker"
    command = ("docker", "image", "inspect", IMAGE)
    found = subprocess.run(command, capture_output=True, check=False, timeout=60).returncode == 0
    return None if found else IMAGE


def configuration(port: int, replicas: list[int]) -> str:
    """cluster/haproxy.cfg with these ports of this machine instead of the containers.

    It repeats no request: the replicas themselves must not lose any.
    """
    text = CONFIGURATION.read_text(encoding="utf-8")
    for number, replica in enumerate(replicas, start=1):
        text = text.replace(f"api-{number}:8000", f"127.0.0.1:{replica}")
    text = text.replace("bind :8000", f"bind 127.0.0.1:{port}")
    text = text.replace(" resolvers docker init-addr last,libc,none", "")
    text = re.sub(r"(?m)^  (retries|option redispatch|retry-on) .*\n", "", text)
    text = text.replace("defaults\n", "defaults\n  retries 0\n")
    return re.sub(r"(?m)^resolvers docker\n(?: .*\n)*", "", text)


@asynccontextmanager
async def proxied(folder: Path, replicas: list[int]) -> AsyncIterator[int]:
    """The port of a proxy in front of two services, when one of them is ready behind it."""
    port = free_port()
    file = folder / "haproxy.cfg"
    file.write_text(configuration(port, replicas), encoding="utf-8")
    file.chmod(0o644)
    mount = f"{file}:/usr/local/etc/haproxy/haproxy.cfg:ro"
    options = ("--rm", "--detach", "--network", "host", "--volume", mount)
    container = (await _docker("run", *options, IMAGE)).strip()
    try:
        await until(lambda: _is_ready(port), 30)
        yield port
    finally:
        await _docker("kill", container)


async def _is_ready(port: int) -> bool:
    line = Line(port)
    try:
        return (await line.send(READY)).status == 200
    except (OSError, EOFError):
        return False
    finally:
        line.close()


async def _docker(*arguments: str) -> str:
    process = await asyncio.create_subprocess_exec(
        "docker", *arguments, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    assert process.returncode == 0, arguments
    return out.decode()
