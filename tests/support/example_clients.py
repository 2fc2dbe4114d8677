"""The example clients as commands, and the service that they use."""

from __future__ import annotations

import asyncio
import signal
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from service.core.database.transactions import Database
from service.core.settings import Settings
from tests.conftest import PASSWORD, USER
from tests.support import engine
from tests.support.program import ROOT, Ended, Service, environment


@asynccontextmanager
async def running(settings: Settings, batches: int) -> AsyncIterator[Service]:
    """A service that runs this many batches at a time."""
    variables = engine.environment(settings) | {"API_MAX_BATCHES": str(batches)}
    variables.pop("API_PORT")
    service = await Service.started(**variables)
    yield service
    await service.end()


async def names(database: Database) -> list[str]:
    """The names of all hires."""
    return [name for (name,) in await database.fetch("SELECT name FROM hired_employees")]


async def is_written(database: Database) -> bool:
    """Whether any hire is stored."""
    return await names(database) != []


async def command(
    module: str, *arguments: str, port: int, given: bytes = b"", until: Any = None
) -> Ended:
    """Run `python -m examples.…`; kill it with -9 when `until` is done."""
    variables = {"API_URL": f"http://127.0.0.1:{port}", "API_USER": USER, "API_PASS": PASSWORD}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", f"examples.{module}", *arguments),
        cwd=ROOT,
        env=environment(variables),
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
    )
    if until:
        await until
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGKILL)
    out, err = await process.communicate(given)
    return Ended(process.returncode, out.decode(), err.decode())
