"""The application in this event loop, so that requests can run at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Literal, cast

import httpx
import uvicorn
from litestar import Litestar

from service.core.settings import Settings
from service.serve import PROTOCOL
from service.web.app import create_app
from service.web.asgi import App
from tests.support.processes import free_port
from tests.support.waiting import until


@asynccontextmanager
async def serving(
    settings: Settings, *, raise_app_exceptions: bool = True
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an application with these settings and its own connection pool."""
    app = create_app(settings)
    async with (
        running(app),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(
                cast("Any", app), raise_app_exceptions=raise_app_exceptions
            ),
            base_url="http://test",
            auth=httpx.BasicAuth(settings.api_user, settings.api_pass),
            timeout=60,
        ) as client,
    ):
        yield client


@asynccontextmanager
async def running(app: Litestar) -> AsyncIterator[None]:
    """The application from its start to its end.

    It runs in its own task. A fixture may end in another task than it began, and the framework
    does not allow that.
    """
    started, stopping = asyncio.Event(), asyncio.Event()

    async def run() -> None:
        try:
            async with app.lifespan():
                started.set()
                await stopping.wait()
        finally:
            started.set()

    task = asyncio.create_task(run())
    await started.wait()
    if task.done():
        await task
    try:
        yield
    finally:
        stopping.set()
        await task


@asynccontextmanager
async def listening(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """A client that uses a socket, through the same server as the service (uvicorn)."""
    async with (
        on_a_port(cast("Any", create_app(settings)), lifespan="on") as port,
        httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}",
            auth=httpx.BasicAuth(settings.api_user, settings.api_pass),
            limits=httpx.Limits(max_connections=None),
            trust_env=False,
            timeout=60,
        ) as client,
    ):
        yield client


@asynccontextmanager
async def on_a_port(app: App, lifespan: Literal["on", "off"] = "off") -> AsyncIterator[int]:
    """The port on which the server of the service runs an ASGI application."""
    config = uvicorn.Config(cast("Any", app), port=free_port(), lifespan=lifespan, **PROTOCOL)
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    await until(lambda: _is_started(server, task), 30)
    try:
        yield config.port
    finally:
        server.should_exit = True
        await task


async def _is_started(server: uvicorn.Server, task: asyncio.Task[None]) -> bool:
    return server.started or task.done()
