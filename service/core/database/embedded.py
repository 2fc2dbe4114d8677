"""The embedded database: seekdb, a MySQL-protocol server out of a Python package.

It listens on a private Unix socket alone. Processes that open the same folder share one server;
it ends with the last of them, however that one ends. One that ends before is started again.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import sys
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from service.core.errors import SettingsError
from service.core.threads import in_thread

log = logging.getLogger("hirebase.embedded")

ENDING_SECONDS = 20
PAUSE_SECONDS = 1
OPEN = "import sys, pylibseekdb; pylibseekdb.open(sys.argv[1]).close()"


class Server:
    """A server that runs; options: what a driver needs to connect to it, as long as it is held."""

    def __init__(self, folder: Path, options: dict[str, Any]):
        self.options = options
        self._folder = folder
        self._starting: asyncio.Task[None] | None = None

    def restart(self) -> None:
        """Have it started, if it does not run and nobody is at it."""
        if self._starting is None or self._starting.done():
            # Not in the name of the request that found it gone.
            alone = contextvars.Context()
            self._starting = asyncio.create_task(self._restart(), context=alone)

    async def leave(self) -> None:
        """Start it no more; one under way ends first: half a start holds the folder."""
        if self._starting:
            await asyncio.wait([self._starting], timeout=ENDING_SECONDS)
            self._starting.cancel()
            await asyncio.wait([self._starting])

    async def _restart(self) -> None:
        """In a process of its own: in this one, what opened the folder takes the server for alive.

        The server then serves all who hold the folder, and several who start it start one.
        """
        opener = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", OPEN, str(self._folder)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            code = await opener.wait()
        except asyncio.CancelledError:
            opener.kill()
            await opener.wait()
            raise
        if code:
            log.warning("the embedded database in %s does not start again", self._folder)
            await asyncio.sleep(PAUSE_SECONDS)
        else:
            log.warning("the embedded database in %s had ended, and runs again", self._folder)


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[Server]:
    """The server of `folder`, started if need be; SettingsError."""
    stack = ExitStack()
    try:
        server = Server(folder.absolute(), await _options(folder, stack))
        try:
            yield server
        finally:
            await server.leave()
    finally:
        await in_thread(stack.close)


async def _options(folder: Path, stack: ExitStack) -> dict[str, Any]:
    try:
        import pylibseekdb
    except ImportError:
        raise SettingsError(
            "MYSQL_HOST: set it; the embedded database (pylibseekdb) is not installed here"
        ) from None
    try:
        await in_thread(_keep_to_itself, folder)
        return await _open(folder.absolute(), stack)
    except (OSError, pylibseekdb.SeekdbError) as error:
        raise SettingsError(
            f"EMBEDDED_DIR: no database could be started in {folder}: {error}"
        ) from error


async def _open(folder: Path, stack: ExitStack) -> dict[str, Any]:
    """The options of the server, which the stack closes.

    One whose user was killed may take a while to end, before another can start.
    """
    import pylibseekdb

    loop = asyncio.get_running_loop()
    end = loop.time() + ENDING_SECONDS
    while True:
        try:
            return await in_thread(_opened, folder, stack)
        except pylibseekdb.SeekdbError:
            if loop.time() > end or not (folder / "run" / "seekdb.pid").exists():
                raise
            await asyncio.sleep(0.2)


def _opened(folder: Path, stack: ExitStack) -> dict[str, Any]:
    """On the stack within the thread: a caller cancelled meanwhile gets no result to close."""
    import pylibseekdb

    instance = pylibseekdb.open(str(folder))
    stack.callback(instance.close)
    options: dict[str, Any] = instance.connection_options()
    return options


def _keep_to_itself(folder: Path) -> None:
    """Only its owner may look inside, and nothing is sent home.

    The server reports to its makers at its first start, and passes no variable or parameter on to
    stop that; it does not report where its note of having done so is already there.
    """
    (folder / "run").mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.chmod(0o700)
    (folder / "run" / "telemetry.json").write_text('{"sent": true}')
