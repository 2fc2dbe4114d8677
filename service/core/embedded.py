"""The embedded database: seekdb, a MySQL-protocol server out of a Python package.

It listens on a private Unix socket alone. Processes that open the same folder share one server;
it ends with the last of them, however that one ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from service.core.errors import SettingsError

ENDING_SECONDS = 20


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[dict[str, Any]]:
    """The server of `folder`, started if need be: what a driver needs to connect to it."""
    try:
        import pylibseekdb
    except ImportError:
        raise SettingsError(
            "MYSQL_HOST: set it; the embedded database (pylibseekdb) is not installed here"
        ) from None
    try:
        await asyncio.to_thread(_keep_to_itself, folder)
        instance = await _open(folder.absolute())
    except (OSError, pylibseekdb.SeekdbError) as error:
        raise SettingsError(
            f"EMBEDDED_DIR: no database could be started in {folder}: {error}"
        ) from error
    try:
        yield instance.connection_options()
    finally:
        await asyncio.to_thread(instance.close)


async def _open(folder: Path) -> Any:
    """The server; one whose user was killed may take a while to end, before another can start."""
    import pylibseekdb

    loop = asyncio.get_running_loop()
    end = loop.time() + ENDING_SECONDS
    while True:
        try:
            return await pylibseekdb.aopen(str(folder))
        except pylibseekdb.SeekdbError:
            if loop.time() > end or not (folder / "run" / "seekdb.pid").exists():
                raise
            await asyncio.sleep(0.2)


def _keep_to_itself(folder: Path) -> None:
    """Only its owner may look inside, and nothing is sent home.

    The server reports to its makers at its first start, and passes no variable or parameter on to
    stop that; it does not report where its note of having done so is already there.
    """
    (folder / "run").mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.chmod(0o700)
    (folder / "run" / "telemetry.json").write_text('{"sent": true}')
