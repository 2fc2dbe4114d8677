"""Serves the API: connects, migrates, loads files if requested, then runs uvicorn."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import (
    AbstractAsyncContextManager,
    asynccontextmanager,
    contextmanager,
    nullcontext,
    suppress,
)
from functools import partial
from importlib import import_module
from typing import Any

import click
import uvicorn

from loader.loading.pipeline import load
from loader.options import Options
from loader.reporting.summary import render
from service.core.backups.staged.leftovers import tidy
from service.core.database.connect import connect
from service.core.database.migrations import migrate
from service.core.database.servers.addresses import format_address
from service.core.database.transactions import Database
from service.core.errors import InputError, SettingsError
from service.core.settings import Settings
from service.core.writes.rows_by_day import counting_rows
from service.web.traffic.tls import context, reloading_context

APP = "service.web.app:create_app_from_environment"
PROTOCOL: dict[str, Any] = {
    "http": "service.web.traffic.http_protocol:BoundedHttp",
    "ws": "none",
    "log_config": None,
    "access_log": False,
    "server_header": False,
}
"""The options of uvicorn's protocol; servers of tests use them as well."""


def serve(*, load_first: bool, workers: int) -> None:
    """Serve until SIGINT or SIGTERM; running requests finish first."""
    configured = Settings.from_environment(os.environ)
    settings = configured.with_password()
    if settings != configured:
        os.environ["API_PASS"] = settings.api_pass  # workers read the environment again
    _check_address(settings.api_host, settings.api_port)
    tls = _tls(settings)
    # Files take longer to write than memory. One process needs them for what it loads at its start,
    # before there is an application.
    shared = _metrics_folder() if workers > 1 or load_first else nullcontext()
    with suppress(KeyboardInterrupt), shared:
        if workers == 1:
            _import_app()
        with _kept_open(_prepared_database(settings, load_first=load_first)):
            _print_address(settings, generated=settings != configured)
            _run_uvicorn(settings, workers, tls)


def _check_address(host: str, port: int) -> None:
    """SettingsError unless the address is free; checked early, since a first load takes a while."""
    try:
        for family, kind, protocol, _, address in socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        ):
            with socket.socket(family, kind, protocol) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                probe.bind(address)
    except OSError as error:
        raise SettingsError(
            f"API_HOST, API_PORT: cannot listen on {format_address(host, port)}: {error.strerror}. "
            "Set another port or address, or stop the program that uses this one."
        ) from error


def _tls(settings: Settings) -> dict[str, Any]:
    """uvicorn's options for TLS; SettingsError unless the files can be used."""
    if settings.api_tls_cert is None or settings.api_tls_key is None:
        return {}
    context(settings.api_tls_cert, settings.api_tls_key)
    return {
        "ssl_certfile": settings.api_tls_cert,
        "ssl_keyfile": settings.api_tls_key,
        "ssl_context_factory": reloading_context,
    }


def _run_uvicorn(settings: Settings, workers: int, tls: dict[str, Any]) -> None:
    uvicorn.run(
        APP,
        factory=True,
        host=settings.api_host,
        port=settings.api_port,
        workers=workers,
        timeout_graceful_shutdown=settings.mysql_timeout,
        # uvicorn kills a worker that is silent for this long, with all its requests.
        timeout_worker_healthcheck=settings.mysql_timeout,
        **PROTOCOL,
        **tls,
    )


def _import_app() -> None:
    """Import the application, with signals blocked until it is imported.

    Python loses an exception that a signal handler raises in an import, or reports another error.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        import_module(APP.partition(":")[0])
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _metrics_folder() -> Iterator[None]:
    """A private folder where all processes keep their metrics, so that each can report the sum."""
    with tempfile.TemporaryDirectory(prefix="hirebase-") as folder:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
        yield


@contextmanager
def _kept_open(context: AbstractAsyncContextManager[None]) -> Iterator[None]:
    """Keep an asynchronous context open while other code runs in the main thread."""
    with asyncio.Runner() as runner:
        runner.run(context.__aenter__())
        try:
            yield
        finally:
            runner.run(context.__aexit__(None, None, None))


@asynccontextmanager
async def _prepared_database(settings: Settings, *, load_first: bool) -> AsyncIterator[None]:
    click.echo(f"Database: {_describe_database(settings)}")
    # Stay connected until the application has connected: an embedded server ends with its last
    # user, and would start a second time.
    async with connect(settings) as database:
        for name in await migrate(database):
            click.echo(f"Migrated: {name}")
        await tidy(database)
        if load_first:
            await _load(database, settings)
        yield


async def _load(database: Database, settings: Settings) -> None:
    from service.web.traffic.metrics import Metrics

    options = Options(settings.data_dir, settings.rejects_dir)
    try:
        async with counting_rows(database) as counts:
            summaries = await load(database, options, count=partial(counts.add, "loader", ""))
        Metrics().count_load(summary.as_object() for summary in summaries)
        click.echo(render(summaries))
    except InputError as error:
        raise SettingsError(str(error)) from error


def _describe_database(settings: Settings) -> str:
    if settings.embedded:
        return f"embedded, in {settings.embedded_dir}"
    names = ", ".join(format_address(*server) for server in settings.servers)
    return f"{settings.mysql_database} at {names}"


def credentials(settings: Settings, *, generated: bool) -> tuple[str, str]:
    """(user, password) as the start prints them: a generated password, or where it is set."""
    if generated:
        return settings.api_user, settings.api_pass
    if settings.api_pass:
        return settings.api_user, "as set in API_PASS"
    if settings.api_pass_hash:
        return settings.api_user, "as hashed in API_PASS_HASH"
    return "as listed in API_USERS", "as hashed in API_USERS"


def _print_address(settings: Settings, *, generated: bool) -> None:
    scheme = "https" if settings.api_tls_cert else "http"
    click.echo(f"API: {scheme}://{settings.api_host}:{settings.api_port}")
    user, password = credentials(settings, generated=generated)
    click.echo(f"User: {user}")
    click.echo(f"Password: {password}")
    if scheme == "http" and settings.api_host not in ("127.0.0.1", "::1", "localhost"):
        click.echo(
            "Passwords cross the network in plain text: set API_TLS_CERT and API_TLS_KEY, or use a "
            "proxy with TLS (docs/security.md)"
        )
