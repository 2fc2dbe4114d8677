"""The servers of the benchmarks: a durable MySQL 9.7 in a container, and the real service."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from service.core.settings import Settings
from tests.support import engine
from tests.support.processes import free_port, wait_until_ready

PASSWORD = "bench-password"
CREDENTIALS = f"Basic {b64encode(f'admin:{PASSWORD}'.encode()).decode()}"


@contextmanager
def mysql() -> Iterator[str]:
    """The server of TEST_MYSQL_URL, or a container with the default durability."""
    url = os.environ.get("TEST_MYSQL_URL")
    if url:
        yield url
        return
    with engine.container(durable=True) as started:
        yield started


@contextmanager
def service(
    settings: Settings, *, workers: int = 1, module: str = "service", **variables: str
) -> Iterator[tuple[int, int]]:
    """Run the service in a separate process; its port and process id."""
    port = free_port()
    environment = os.environ | {
        "MYSQL_HOST": settings.mysql_host or "",
        "MYSQL_PORT": str(settings.mysql_port),
        "MYSQL_USER": settings.mysql_user,
        "MYSQL_PASSWORD": settings.mysql_password,
        "MYSQL_DATABASE": settings.mysql_database,
        "API_PASS": PASSWORD,
        "API_PORT": str(port),
        "LOG_LEVEL": "warning",
        **variables,
    }
    command = [sys.executable, "-m", module, "serve", "--workers", str(workers)]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    try:
        wait_until_ready(process, port)
        yield port, process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def database_cpu(settings: Settings) -> float:
    """Seconds of CPU time of the database's server; 0 if it is not in a container here."""
    pid = _database_pid(settings.mysql_port)
    return cpu_seconds(pid) if pid else 0.0


def container_of(port: int) -> str | None:
    """The container whose server listens on the port, if there is one."""
    found = _docker("ps", "--quiet", "--filter", f"publish={port}").split()
    return found[0] if len(found) == 1 else None


def cpu_seconds(*pids: int) -> float:
    """Seconds of CPU time that processes have used."""
    return sum(map(_cpu_seconds, pids))


def children(pid: int) -> list[int]:
    """The processes that a process started."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@cache
def _database_pid(port: int) -> int:
    container = container_of(port)
    return int(_docker("inspect", "--format", "{{.State.Pid}}", container)) if container else 0


def _docker(*arguments: str) -> str:
    return subprocess.run(
        ["docker", *arguments], check=True, capture_output=True, text=True
    ).stdout.strip()
