"""What benchmarks run against: a durable MySQL 9.7 in a container, and the real service on it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

from service.core.settings import Settings
from tests.support import engine

PASSWORD = "bench-password"
START_SECONDS = 60


@contextmanager
def mysql() -> Iterator[str]:
    """TEST_MYSQL_URL, or a container of its own with the server's default durability."""
    url = os.environ.get("TEST_MYSQL_URL")
    if url:
        yield url
        return
    with engine.container(durable=True) as started:
        yield started


@contextmanager
def service(settings: Settings, *, workers: int = 1) -> Iterator[tuple[int, int]]:
    """The service in a process of its own: its port and process id."""
    port = _free_port()
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
        _wait(port)
        yield port, process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(port: int) -> None:
    end = time.monotonic() + START_SECONDS
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=5):
                return
        except urllib.error.URLError:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)
