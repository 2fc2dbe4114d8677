"""Servers of one's own that can be killed, and are there again afterwards."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from service.core.settings import Settings
from tests.support import engine


class Server(Protocol):
    """A server of one's own that can be killed and is there again afterwards."""

    settings: Settings

    async def kill(self) -> None: ...


class Container:
    """MySQL on disk, on a port that stays the same."""

    def __init__(self, container: Any, port: int):
        self._container = container
        self.settings = engine.settings(
            f"mysql://root:{engine.ROOT_PASSWORD}@127.0.0.1:{port}", "killed"
        )

    @classmethod
    @contextmanager
    def running(cls) -> Iterator[Container]:
        from testcontainers.core.container import DockerContainer

        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        container = DockerContainer(engine.IMAGE)
        container.with_env("MYSQL_ROOT_PASSWORD", engine.ROOT_PASSWORD)
        with container.with_bind_ports(3306, port):
            engine._wait("127.0.0.1", port)
            yield cls(container.get_wrapped_container(), port)

    async def kill(self) -> None:
        await asyncio.to_thread(self._container.kill)
        await asyncio.to_thread(self._container.start)

    async def restart(self) -> None:
        """Asked to end, and started again."""
        await asyncio.to_thread(self._container.restart)


class Embedded:
    """seekdb, which the loader itself starts again."""

    def __init__(self, folder: Path):
        self._folder = folder / "seekdb"
        self.settings = Settings(embedded_dir=self._folder, mysql_database="killed", mysql_wait=1)

    async def kill(self) -> None:
        await asyncio.to_thread(self._kill)

    def _kill(self) -> None:
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with suppress(OSError):
                if f"--base-dir={self._folder}" in path.read_text().split("\0"):
                    os.kill(int(path.parent.name), signal.SIGKILL)


@contextmanager
def running(folder: Path) -> Iterator[Server]:
    """A durable server of the kind that the tests run on."""
    if os.environ["TEST_SERVER"].startswith(engine.EMBEDDED):
        yield Embedded(folder)
    else:
        with Container.running() as container:
            yield container
