"""The application in this event loop, so that requests run concurrently."""

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
from tests.support.program import free_port
from tests.support.waiting import until


@asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an application with these settings, without a socket."""
    app = create_app(settings)
    started, ended = asyncio.Event(), asyncio.Event()
    # In one task: a fixture starts and ends in different tasks, and the framework forbids that.
    living = asyncio.create_task(_live(app, started, ended))
    starting = asyncio.create_task(started.wait())
    await asyncio.wait([living, starting], return_when=asyncio.FIRST_COMPLETED)
    starting.cancel()
    try:
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(cast("Any", app)),
            base_url="http://test",
            auth=httpx.BasicAuth(settings.api_user, settings.api_pass),
            timeout=60,
        ) as client:
            yield client
    finally:
        ended.set()
        await living


@asynccontextmanager
async def listening(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """A client of such an application over a socket, with the server of the service."""
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
    running = asyncio.create_task(server.serve())
    await until(lambda: _has_begun(server, running), 30)
    try:
        yield config.port
    finally:
        server.should_exit = True
        await running


async def _has_begun(server: uvicorn.Server, running: asyncio.Task[None]) -> bool:
    return server.started or running.done()


async def _live(app: Litestar, started: asyncio.Event, ended: asyncio.Event) -> None:
    async with app.lifespan():
        started.set()
        await ended.wait()
