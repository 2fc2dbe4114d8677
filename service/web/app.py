"""The one place where the service is put together."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from litestar import Litestar
from litestar.datastructures import State
from litestar.di import Provide
from litestar.middleware import DefineMiddleware

from service.core import database as databases
from service.core import store
from service.core.database import Database
from service.core.garbage import collect_rarely
from service.core.idempotency import PURGED_AT_ONCE, Keys
from service.core.settings import Settings
from service.core.tables import TABLES
from service.web import logs, openapi, problems
from service.web.auth import PUBLIC, BasicAuth
from service.web.background import repeat, running
from service.web.backups import avro
from service.web.console import html
from service.web.console.jobs import Jobs
from service.web.console.routes import console
from service.web.console.runs import TIDY_SECONDS, Runs
from service.web.gate import Gate, batches
from service.web.health import health
from service.web.limits import limits
from service.web.metrics import Metrics
from service.web.metrics import metrics as figures
from service.web.observe import Observed
from service.web.parameters import StrictQuery
from service.web.rejects import rejects
from service.web.reports import reports
from service.web.rows import routes
from service.web.shed import Shed
from service.web.tracing import Traces
from service.web.unrouted import Unrouted
from service.web.users import Users

PURGE_SECONDS = 60
WATCH_SECONDS = 1
LONG_WORK = "backups, restores or loads are running"


def create_app(settings: Settings, *, debug: bool = False) -> Litestar:
    """The application; its database is opened when it starts and closed when it ends."""
    metrics, traces = Metrics(), Traces(settings)
    gate = batches(settings.api_max_batches)
    app = Litestar(
        route_handlers=[
            *map(routes, TABLES),
            *(rejects, reports, avro, health, limits, figures, console),
        ],
        lifespan=[partial(_living, settings)],
        on_shutdown=[traces.close],
        state=State(
            {
                "settings": settings,
                "users": Users.of(settings),
                "metrics": metrics,
                "gate": gate,
                "streams": Gate(
                    max(1, settings.mysql_pool_size // 2),
                    what=LONG_WORK,
                ),
            }
        ),
        dependencies={"database": Provide(_database, sync_to_thread=False)},
        middleware=[
            DefineMiddleware(BasicAuth, exclude_from_auth_key=PUBLIC, exclude_http_methods=()),
            StrictQuery(),
        ],
        exception_handlers=problems.HANDLERS,
        openapi_config=openapi.config(),
        template_config=html.engine(),
        logging_config=None,
        debug=debug,
    )
    openapi.complete(app)
    routed: Any = app.asgi_handler
    shed = Shed(Unrouted(routed), gate)
    # Around all of it, routing included: middleware begins after that.
    app.asgi_handler = traces.around(Observed(shed, metrics))  # type: ignore[assignment]
    return app


def create_app_from_environment() -> Litestar:
    """The application as uvicorn's workers make it."""
    settings = Settings.from_environment(os.environ)
    logs.configure(settings.log_level, settings.log_format)
    collect_rarely()
    return create_app(settings)


@asynccontextmanager
async def _living(settings: Settings, app: Litestar) -> AsyncIterator[None]:
    """From the application's start to its end."""
    async with databases.connect(settings) as database:
        app.state.database = database
        app.state.idempotency = Keys(database, settings.idempotency_hours)
        app.state.jobs = Jobs(database, settings.rejects_dir / ".console")
        app.state.runs = Runs(app.state.jobs)
        async with running(
            repeat("publishing metrics", WATCH_SECONDS, partial(_watch, app, database)),
            repeat("purging", PURGE_SECONDS, partial(_purge, app, database)),
            repeat("removing old jobs", TIDY_SECONDS, app.state.jobs.tidy),
        ):
            yield
        await app.state.runs.close()


async def _purge(app: Litestar, database: Database) -> bool:
    """Delete some expired idempotency keys and rejects; whether there may be more."""
    keys: int = await app.state.idempotency.purge()
    days = app.state.settings.rejects_days
    rejects = await _purge_rejects(database, days) if days else 0
    return keys == PURGED_AT_ONCE or rejects == store.PURGED_AT_ONCE


async def _purge_rejects(database: Database, days: int) -> int:
    async with database.transaction() as transaction:
        return await store.purge_rejects(transaction, days)


async def _watch(app: Litestar, database: Database) -> bool:
    """Keep for the other workers what only this one knows."""
    app.state.metrics.watch(database)
    return False


def _database(state: State) -> Any:
    return state.database
