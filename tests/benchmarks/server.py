"""The servers of the benchmarks: a durable MySQL 9.7 in a container, and the real service."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from service.core.settings import Settings
from tests.support import engine
from tests.support.processes import free_port, wait_until_ready

PASSWORD = "bench-password"


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
def service(settings: Settings, *, workers: int = 1) -> Iterator[tuple[int, int]]:
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
    }
    command = [sys.executable, "-m", "service", "serve", "--workers", str(workers)]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    try:
        wait_until_ready(process, port)
        yield port, process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
