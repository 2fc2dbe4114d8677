"""Database servers that a test can kill and that start again."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from service.core.settings import Settings
from tests.support import engine, processes


class Server(Protocol):
    """A database server that a test can kill and that starts again."""

    settings: Settings

    async def kill(self) -> None: ...


class Container:
    """MySQL in a container, with its data on disk, always on the same port."""

    def __init__(self, container: Any, port: int):
        self._container = container
        self.settings = engine.settings(
            f"mysql://root:{engine.ROOT_PASSWORD}@127.0.0.1:{port}", "killed"
        )

    @classmethod
    @contextmanager
    def running(cls) -> Iterator[Container]:
        from testcontainers.core.container import DockerContainer

        port = processes.free_port()
        container = DockerContainer(engine.IMAGE)
        container.with_env("MYSQL_ROOT_PASSWORD", engine.ROOT_PASSWORD)
        with container.with_bind_ports(3306, port):
            engine.wait_for_mysql("127.0.0.1", port)
            yield cls(container.get_wrapped_container(), port)

    async def kill(self) -> None:
        await asyncio.to_thread(self._container.kill)
        await asyncio.to_thread(self._container.start)

    async def restart(self) -> None:
        """Stop the server normally and start it again."""
        await asyncio.to_thread(self._container.restart)


class Embedded:
    """seekdb. The program under test starts it again."""

    def __init__(self, folder: Path):
        self._folder = folder / "seekdb"
        self.settings = Settings(embedded_dir=self._folder, mysql_database="killed", mysql_wait=1)

    async def kill(self) -> None:
        processes.kill_servers_of(self._folder)


@contextmanager
def running(folder: Path) -> Iterator[Server]:
    """A durable server of the same engine as the tests use."""
    if os.environ["TEST_SERVER"].startswith(engine.EMBEDDED):
        yield Embedded(folder)
    else:
        with Container.running() as container:
            yield container
