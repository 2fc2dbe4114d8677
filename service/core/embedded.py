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
        folder.parent.mkdir(parents=True, exist_ok=True)
        instance = await pylibseekdb.aopen(str(folder.absolute()))
    except (OSError, pylibseekdb.SeekdbError) as error:
        raise SettingsError(
            f"EMBEDDED_DIR: no database could be started in {folder}: {error}"
        ) from error
    try:
        yield instance.connection_options()
    finally:
        await asyncio.to_thread(instance.close)
