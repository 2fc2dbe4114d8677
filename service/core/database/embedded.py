"""The embedded database: seekdb, a server for the MySQL protocol in a Python package.

It listens on a private Unix socket only. Processes that open the same folder share one server,
which ends with the last of these processes. A server that ends earlier is restarted. It has a lower
priority than the program. Otherwise its threads take the processor from the program under overload,
and the program cannot even refuse requests in time.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import os
import sys
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from service.core.errors import SettingsError
from service.core.threads import in_thread

log = logging.getLogger("hirebase.embedded")

STOP_SECONDS = 20
RETRY_SECONDS = 1
NICE = 10
"""The priority of the server, as in `nice -n 10`."""
OPEN_SCRIPT = f"import os, sys, pylibseekdb; os.nice({NICE}); pylibseekdb.open(sys.argv[1]).close()"


class Server:
    """A running server; options: the arguments with which a driver connects to it."""

    def __init__(self, folder: Path, options: dict[str, Any]):
        self.options = options
        self._folder = folder
        self._restarting: asyncio.Task[None] | None = None

    def restart(self) -> None:
        """Restart the server unless it is running or already being restarted."""
        if self._restarting is None or self._restarting.done():
            # An empty context, because the restart belongs to no request.
            self._restarting = asyncio.create_task(self._restart(), context=contextvars.Context())

    async def close(self) -> None:
        """Wait for a running restart to end, because an interrupted one keeps the folder locked."""
        if self._restarting:
            await asyncio.wait([self._restarting], timeout=STOP_SECONDS)
            self._restarting.cancel()
            await asyncio.wait([self._restarting])

    async def _restart(self) -> None:
        """Open the folder in a new process: in this process, it counts as open already.

        The new server serves all processes that use the folder. If several processes restart it,
        one server starts.
        """
        opener = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", OPEN_SCRIPT, str(self._folder)),
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
            log.warning(
                "the embedded database in %s does not restart; the next attempt follows",
                self._folder,
            )
            await asyncio.sleep(RETRY_SECONDS)
        else:
            _lower_priority(self._folder)
            log.warning("the embedded database in %s had ended and runs again", self._folder)


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[Server]:
    """The server of `folder`, which is started unless it runs; SettingsError."""
    stack = ExitStack()
    try:
        server = Server(folder.absolute(), await _options(folder, stack))
        try:
            yield server
        finally:
            await server.close()
    finally:
        await in_thread(stack.close)


async def _options(folder: Path, stack: ExitStack) -> dict[str, Any]:
    try:
        import pylibseekdb
    except ImportError:
        raise SettingsError(
            "MYSQL_HOST: set it, or install hirebase[embedded], because the embedded database "
            "(pylibseekdb) is not installed"
        ) from None
    try:
        await in_thread(_secure_folder, folder)
        return await _open(folder.absolute(), stack)
    except (OSError, pylibseekdb.SeekdbError) as error:
        raise SettingsError(
            f"EMBEDDED_DIR: cannot start the embedded database in {folder}: {error}"
        ) from error


async def _open(folder: Path, stack: ExitStack) -> dict[str, Any]:
    """Start the server, which the stack closes, and return its options.

    If a process was killed, its server may need a while to end before another can start.
    """
    import pylibseekdb

    loop = asyncio.get_running_loop()
    deadline = loop.time() + STOP_SECONDS
    while True:
        try:
            return await in_thread(_open_instance, folder, stack)
        except pylibseekdb.SeekdbError:
            if loop.time() > deadline or not (folder / "run" / "seekdb.pid").exists():
                raise
            await asyncio.sleep(0.2)


def _open_instance(folder: Path, stack: ExitStack) -> dict[str, Any]:
    """The thread itself pushes on the stack, because a cancelled caller gets no result to close."""
    import pylibseekdb

    instance = pylibseekdb.open(str(folder))
    stack.callback(instance.close)
    _lower_priority(folder)
    options: dict[str, Any] = instance.connection_options()
    return options


def _lower_priority(folder: Path) -> None:
    """Lower the priority of a server that has started.

    On Linux, each thread has a priority, and new threads inherit it: those that a thread starts
    before its turn are found by another look.
    """
    with suppress(OSError):  # the server has ended
        server = int((folder / "run" / "seekdb.pid").read_text())
        while sum(map(_lower, _threads(server))):
            pass


def _threads(process: int) -> list[int]:
    """The ids of the threads of a process; itself on a system that has no /proc."""
    tasks = Path(f"/proc/{process}/task")
    return [int(task.name) for task in tasks.iterdir()] if tasks.is_dir() else [process]


def _lower(thread: int) -> bool:
    """Whether its priority had to be lowered."""
    with suppress(ProcessLookupError):  # the thread has ended
        if os.getpriority(os.PRIO_PROCESS, thread) < NICE:
            os.setpriority(os.PRIO_PROCESS, thread, NICE)
            return True
    return False


def _secure_folder(folder: Path) -> None:
    """Restrict the folder to its owner, and disable telemetry.

    seekdb sends a report at its first start and has no option against that. It sends none if its
    file says that the report was sent.
    """
    (folder / "run").mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.chmod(0o700)
    (folder / "run" / "telemetry.json").write_text('{"sent": true}')
