"""Builds the application from its parts."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from litestar import Litestar
from litestar.datastructures import State
from litestar.di import Provide

from service.core.backups.backup_store import BackupStore
from service.core.backups.staged.leftovers import tidy
from service.core.database.connect import connect
from service.core.database.replication.replicas import replicas
from service.core.database.transactions import Database
from service.core.garbage_collection import collect_rarely
from service.core.settings import Settings
from service.core.tables import TABLES
from service.core.writes.group_commit import GroupCommit
from service.core.writes.idempotency import PURGE_LIMIT, Keys
from service.core.writes.rejects import REJECTS_PURGE_LIMIT, purge_rejects
from service.core.writes.rows_by_day import counting_rows
from service.web import problems
from service.web.access.basic_auth import with_credentials
from service.web.access.hidden_routes import hiding_routes
from service.web.access.host_header import with_valid_host
from service.web.access.users import Users
from service.web.api.backups import avro
from service.web.api.limits import limits
from service.web.api.monitoring import health
from service.web.api.monitoring import metrics as metrics_route
from service.web.api.parameters import StrictQuery
from service.web.api.rejects.routes import rejects
from service.web.api.reports import reports
from service.web.api.tables.routes import routes
from service.web.background import repeat, running
from service.web.console import html
from service.web.console.jobs import Jobs
from service.web.console.routes import console
from service.web.console.runs import TIDY_SECONDS, Runs
from service.web.console.summaries import Summaries
from service.web.openapi import spec
from service.web.traffic import log_format
from service.web.traffic.draining import Draining
from service.web.traffic.limiter import Limiter, batch_limiter
from service.web.traffic.load_shedding import shedding
from service.web.traffic.methods import answering_head, naming_methods
from service.web.traffic.metrics import Metrics
from service.web.traffic.request_log import RequestLog
from service.web.traffic.tracing import Traces

PURGE_SECONDS = 60
METRICS_SECONDS = 1
TIDY_RESTORES_SECONDS = 10
"""How long a killed restore may keep writers away."""
LONG_WORK = "backups, restores, verifications, loads or exports are running"


def create_app(settings: Settings, *, debug: bool = False) -> Litestar:
    """The application. It opens its database at startup and closes it at shutdown."""
    metrics, traces = Metrics(), Traces(settings)
    draining = Draining(settings.api_shutdown_delay)
    limiter = batch_limiter(settings.api_max_batches)
    app = Litestar(
        route_handlers=[
            *map(routes, TABLES),
            *(rejects, reports, avro, health, limits, metrics_route, console),
        ],
        lifespan=[partial(_lifespan, settings)],
        on_shutdown=[traces.close],
        state=State(_state(settings, metrics, limiter) | {"draining": draining}),
        dependencies={
            "database": Provide(_database, sync_to_thread=False),
            "reader": Provide(_reader),
        },
        middleware=[with_credentials, StrictQuery()],
        exception_handlers=problems.HANDLERS,
        openapi_config=spec.config(),
        template_config=html.engine(),
        logging_config=None,
        debug=debug,
    )
    spec.complete(app)
    # Outside of the framework, because its middleware runs only after routing. The types differ:
    # Litestar's ASGI types are stricter than those of `asgi.py`.
    answering_errors: Any = app.asgi_handler
    answering_errors.app = hiding_routes(app.asgi_router)
    answering = answering_head(naming_methods(answering_errors, app.routes))
    checked = with_valid_host(shedding(answering, limiter))
    logged = draining.closing_connections(RequestLog(checked, metrics))
    app.asgi_handler = traces.around(logged)  # type: ignore[assignment]
    return app


def _state(settings: Settings, metrics: Metrics, limiter: Limiter) -> dict[str, Any]:
    """What handlers share. The lifespan adds what needs the database."""
    return {
        "settings": settings,
        "users": Users.of(settings),
        "metrics": metrics,
        "batch_limiter": limiter,
        "backup_store": BackupStore(settings.backup_dir),
        "long_work": Limiter(max(1, settings.mysql_pool_size // 2), what=LONG_WORK),
    }


def create_app_from_environment() -> Litestar:
    """The application for a worker of uvicorn."""
    settings = Settings.from_environment(os.environ)
    log_format.configure(settings.log_level, settings.log_format)
    collect_rarely()
    app = create_app(settings)
    app.on_startup.append(app.state.draining.begin_at_sigterm)
    return app


@asynccontextmanager
async def _lifespan(settings: Settings, app: Litestar) -> AsyncIterator[None]:
    """Open the database and run the background tasks while the application runs."""
    async with (
        connect(settings) as database,
        database.reserved() as heartbeats,
        replicas(settings, database) as app.state.replicas,
        counting_rows(database) as app.state.row_counts,
    ):
        app.state.database = database
        app.state.idempotency = Keys(database, settings.idempotency_hours)
        app.state.group_commit = GroupCommit(database, app.state.idempotency)
        app.state.jobs = Jobs(database, heartbeats, settings.rejects_dir / ".console")
        app.state.runs = Runs(app.state.jobs)
        app.state.summaries = Summaries(app.state.jobs)
        async with running(
            repeat("publishing metrics", METRICS_SECONDS, partial(_publish_metrics, app)),
            repeat("purging", PURGE_SECONDS, partial(_purge, app, database)),
            repeat("removing old jobs", TIDY_SECONDS, app.state.jobs.tidy),
            repeat("removing what restores left", TIDY_RESTORES_SECONDS, partial(tidy, database)),
        ):
            yield
        await app.state.runs.close()
        await app.state.group_commit.close()


async def _purge(app: Litestar, database: Database) -> bool:
    """Delete some expired idempotency keys and rejects; True if there may be more."""
    keys: int = await app.state.idempotency.purge()
    days = app.state.settings.rejects_days
    purge = partial(purge_rejects, days=days)
    rejects = await database.run(purge, idempotent=True) if days else 0
    return keys == PURGE_LIMIT or rejects == REJECTS_PURGE_LIMIT


async def _publish_metrics(app: Litestar) -> None:
    """Publish figures of this process, so that other workers can report them."""
    app.state.metrics.update_gauges(app.state.replicas)


def _database(state: State) -> Any:
    return state.database


async def _reader(state: State) -> Any:
    return await state.replicas.current()
