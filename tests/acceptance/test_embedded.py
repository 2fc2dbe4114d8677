"""The embedded database keeps to itself: no port, nothing sent home, nobody else's folder."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

from service.core.database import embedded


def server_of(folder: Path) -> Path:
    """The /proc folder of the server of that database."""
    return next(
        process
        for process in Path("/proc").iterdir()
        if process.name.isdigit() and f"--base-dir={folder}" in _read(process / "cmdline")
    )


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def sockets(process: Path) -> set[str]:
    """The inodes of its sockets."""
    links = (str(link.readlink()) for link in (process / "fd").iterdir() if link.is_symlink())
    return {found[1] for link in links if (found := re.match(r"socket:\[(\d+)\]", link))}


def over_ip(process: Path) -> list[str]:
    """Its lines in the kernel's tables of TCP and UDP sockets."""
    mine = sockets(process)
    tables = ("tcp", "tcp6", "udp", "udp6")
    lines = [line for table in tables for line in _read(process / "net" / table).splitlines()[1:]]
    return [line for line in lines if line.split()[9] in mine]


async def test_it_has_no_port_and_speaks_to_no_one(tmp_path: Path) -> None:
    folder = tmp_path / "seekdb"
    async with embedded.running(folder):
        process = server_of(folder)
        assert sockets(process)
        for _ in range(50):
            assert over_ip(process) == []
            await asyncio.sleep(0.05)
        assert (folder / "run" / "telemetry.json").read_text() == '{"sent": true}'


async def test_only_its_owner_may_look_inside(tmp_path: Path) -> None:
    folder = tmp_path / "seekdb"
    async with embedded.running(folder):
        assert folder.stat().st_mode & 0o077 == 0
