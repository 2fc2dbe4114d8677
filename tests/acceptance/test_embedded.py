"""The embedded database is private: no port, no connections, a folder for its owner only.

It leaves the processor to the program.
"""

from __future__ import annotations

import asyncio
import os
import re
from itertools import chain
from pathlib import Path

from service.core.database import embedded
from tests.support.processes import PROC, kill_servers_of, open_files, read, servers_of
from tests.support.waiting import until


def sockets(pid: int) -> set[str]:
    """The inodes of the sockets of a process."""
    return {found[1] for file in open_files(pid) if (found := re.match(r"socket:\[(\d+)\]", file))}


def ip_sockets(pid: int) -> list[str]:
    """The lines of a process in the kernel's tables of TCP and UDP sockets."""
    own = sockets(pid)
    tables = (read(pid, f"net/{name}") for name in ("tcp", "tcp6", "udp", "udp6"))
    lines = [line for table in tables for line in table.splitlines()[1:]]
    return [line for line in lines if line.split()[9] in own]


async def test_it_has_no_port_and_no_connection(tmp_path: Path) -> None:
    folder = tmp_path / "seekdb"
    async with embedded.running(folder):
        assert any(map(sockets, servers_of(folder)))
        for _ in range(50):
            assert list(chain.from_iterable(map(ip_sockets, servers_of(folder)))) == []
            await asyncio.sleep(0.05)
        assert (folder / "run" / "telemetry.json").read_text() == '{"sent": true}'


async def test_only_its_owner_can_read_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "seekdb"
    async with embedded.running(folder):
        assert folder.stat().st_mode & 0o077 == 0


async def test_each_of_its_threads_has_a_lower_priority_also_after_a_restart(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "seekdb"
    async with embedded.running(folder) as server:
        assert priorities(folder) == {embedded.NICE}
        kill_servers_of(folder)
        server.restart()
        await until(lambda: _is_niced(folder), 60)


async def _is_niced(folder: Path) -> bool:
    return priorities(folder) == {embedded.NICE}


def priorities(folder: Path) -> set[int]:
    """The priorities of the threads of the servers of a folder."""
    tasks = (PROC / str(pid) / "task" for pid in servers_of(folder))
    threads = [int(task.name) for running in tasks for task in running.iterdir()]
    return {os.getpriority(os.PRIO_PROCESS, thread) for thread in threads}
