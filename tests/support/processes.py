"""Processes of this machine: their memory, their command lines, and free ports for them."""

from __future__ import annotations

import os
import random
import re
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.support.waiting import until

PROC = Path("/proc")
READY_SECONDS = 90


def free_port() -> int:
    """A loopback port that is still free when a server starts there, or starts again.

    Systems give higher ports to outgoing connections and to servers that ask for any port.
    """
    while True:
        # Hypothesis seeds the other generator, so that two processes would choose the same port.
        port = random.SystemRandom().randrange(10_000, 32_768)
        with socket.socket() as listener, suppress(OSError):
            listener.bind(("127.0.0.1", port))
            return port


def wait_until_ready(process: subprocess.Popen[bytes], port: int) -> None:
    """Wait for a service to answer; RuntimeError if it ends, or is not ready in time."""
    end = time.monotonic() + READY_SECONDS
    while process.poll() is None and time.monotonic() < end:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=5):
                return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"The service is not ready. Its exit code is {process.poll()}.")


def resident(pid: int | str) -> float:
    """MiB of memory that a process holds."""
    return _status(pid, "VmRSS")


def peak(pid: int | str) -> float:
    """MiB of memory that a process held at its peak."""
    return _status(pid, "VmHWM")


def servers_of(folder: Path) -> list[int]:
    """The processes that serve an embedded database in a folder, or in a folder within."""
    argument = re.compile(rf"--base-dir={re.escape(str(folder))}[/\0]")
    return [pid for pid in _running() if argument.search(read(pid, "cmdline"))]


@contextmanager
def database_folder() -> Iterator[Path]:
    """A temporary folder for embedded databases.

    It is removed when their servers have ended: after their last program, they still write.
    """
    with tempfile.TemporaryDirectory(prefix="hirebase-") as folder:
        try:
            yield Path(folder)
        finally:
            end = time.monotonic() + READY_SECONDS
            while servers_of(Path(folder)) and time.monotonic() < end:
                time.sleep(0.05)


def kill_servers_of(folder: Path) -> None:
    """kill -9 them. While one starts, there may be several."""
    for pid in servers_of(folder):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def children(pid: int) -> list[int]:
    """The processes that a process started."""
    with suppress(OSError):  # it, or one of its threads, has ended
        tasks = list((PROC / str(pid) / "task").iterdir())
        return [int(one) for task in tasks for one in (task / "children").read_text().split()]
    return []


def validators_of(loader: int) -> list[int]:
    """The processes that validate rows for a loader."""
    return [pid for pid in children(loader) if "spawn_main" in read(pid, "cmdline")]


async def started_validators(loader: int, seconds: float) -> list[int]:
    """The two validators of a loader with four workers, as soon as both run."""

    async def have_started() -> bool:
        return len(validators_of(loader)) == 2

    await until(have_started, seconds)
    return validators_of(loader)


async def have_ended(pids: list[int]) -> bool:
    """Whether none of these processes runs."""
    return not any(read(pid, "cmdline") for pid in pids)


def open_files(pid: int) -> list[str]:
    """What the file descriptors of a process refer to, such as paths and sockets."""
    found = []
    for descriptor in (PROC / str(pid) / "fd").iterdir():
        with suppress(OSError):  # closed since it was listed
            found.append(str(descriptor.readlink()))
    return found


def read(pid: int, name: str) -> str:
    """A file of a process in /proc; empty if the process has ended."""
    try:
        return (PROC / str(pid) / name).read_text(errors="replace")
    except OSError:
        return ""


def _status(pid: int | str, name: str) -> float:
    status = (PROC / str(pid) / "status").read_text()
    return int(status.split(f"{name}:")[1].split()[0]) / 1024


def _running() -> Iterator[int]:
    return (int(path.name) for path in PROC.iterdir() if path.name.isdigit())
