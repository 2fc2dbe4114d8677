"""The overview: the tables, the rows of today, the rejects, the servers, and the first steps."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

from litestar import get
from litestar.datastructures import State
from litestar.response import Template
from msgspec import Struct

from service.core.backups.backup_store import Listed
from service.core.database.servers.health import health_of_servers
from service.core.database.transactions import Database
from service.core.errors import StorageError, UnavailableError
from service.core.monthly_hires import Month, latest_months
from service.core.reads.sizes import Size, size_of
from service.core.tables import TABLES, by_name
from service.core.writes.corrections.outcomes import count_by_code
from service.core.writes.rows_by_day import RowsAdded, rows_of_today
from service.web.console.html import AnyRequest, page
from service.web.console.jobs import Job
from service.web.console.pages.backups import RECENT, latest_backups
from service.web.console.pages.rejects import COUNTED

SOURCES = {"api": "API", "console": "Console", "loader": "Loader", "restore": "Restores"}
UNITS = (("day", 86_400), ("hour", 3600), ("minute", 60))


class Today(Struct, frozen=True):
    """The rows that one source and one user have added today."""

    source: str
    user: str
    tables: dict[str, int]

    @property
    def rows(self) -> int:
        """In all tables."""
        return sum(self.tables.values())


class Facts(Struct, frozen=True):
    """What the overview reads from the database. rejects: their number by code; "": all of them."""

    sizes: dict[str, Size]
    months: list[Month]
    rejects: dict[str, int]
    today: list[Today]
    jobs: list[Job]

    @property
    def empty(self) -> bool:
        """Whether no table has a row."""
        return not any(size.rows for size in self.sizes.values())


@get("/")
async def overview(request: AnyRequest, state: State) -> Template:
    """The facts, the backups and the servers; also while the database is not available."""
    # Concurrently, because the check of a server that is away takes a second.
    (facts, trouble), (newest, backup_trouble), servers = await asyncio.gather(
        _facts_or_trouble(state),
        _newest_backup(request, state),
        health_of_servers(state.settings, state.replicas),
    )
    return page(
        request,
        "overview.html",
        facts=facts,
        trouble=trouble,
        counted=COUNTED,
        servers=servers,
        backup=newest,
        backup_age=age_of(newest.made_at) if newest else "",
        backup_trouble=backup_trouble,
    )


async def _facts_or_trouble(state: State) -> tuple[Facts | None, str]:
    """The facts, and why there are none while the database is not available."""
    try:
        return await _facts(state), ""
    except UnavailableError as error:
        return None, f"{error} Check that the database is running, then reload."


async def _facts(state: State) -> Facts:
    reader, fetch = await state.replicas.current(), state.database.fetch
    # Concurrently, because each query counts rows.
    months, sizes, rejects = await asyncio.gather(
        latest_months(reader.fetch),
        _sizes(reader),
        count_by_code(fetch, (None, None, None), COUNTED),
    )
    return Facts(
        sizes=sizes,
        months=months,
        rejects=rejects,
        today=by_source(await rows_of_today(fetch)),
        jobs=await state.jobs.latest(RECENT),
    )


async def _sizes(reader: Database) -> dict[str, Size]:
    return {table.path: await size_of(reader.fetch, table) for table in TABLES}


def by_source(added: Sequence[RowsAdded]) -> list[Today]:
    """The rows of each source and user, with the tables by path."""
    found: dict[tuple[str, str], dict[str, int]] = {}
    for one in added:
        tables = found.setdefault((SOURCES.get(one.source, one.source), one.user), {})
        tables[by_name(one.table).path] = one.added
    return [Today(source, user, tables) for (source, user), tables in found.items()]


async def _newest_backup(request: AnyRequest, state: State) -> tuple[Listed | None, str]:
    """The newest backup, and why there is none if the folder cannot be read."""
    try:
        listed = await latest_backups(request, state, 1)
    except StorageError as error:
        return None, str(error)
    return (listed[0] if listed else None), ""


def age_of(made_at: str) -> str:
    """How long ago a moment was, in its largest unit."""
    moment = datetime.fromisoformat(made_at)
    seconds = (datetime.now(UTC) - moment).total_seconds()
    for unit, size in UNITS:
        count = int(seconds // size)
        if count > 0:
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return "less than a minute ago"
