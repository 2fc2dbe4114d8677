"""Runs all checks, in the order in which an operator would."""

from __future__ import annotations

import os
import platform
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from service import __version__
from service.cli.doctor import configuration
from service.cli.doctor.api import api
from service.cli.doctor.backups import backups
from service.cli.doctor.findings import Finding, Report, error, ok, skipped
from service.cli.doctor.folders import folders
from service.cli.doctor.server_checks import server_checks
from service.cli.doctor.servers import Reached, Unreached, reached, reached_embedded
from service.cli.doctor.tables import table_checks
from service.core.database.connect import reason
from service.core.errors import DatabaseError, SettingsError
from service.core.settings import Settings
from service.core.threads import in_thread


async def examine(environment: Mapping[str, str], max_backup_hours: float | None) -> Report:
    """Check everything and change nothing."""
    settings, findings = configuration.read(environment)
    if settings is None:
        findings.append(skipped("others", "The settings must be correct before the other checks."))
    else:
        findings += await _checks(settings, max_backup_hours)
    return Report(
        __version__,
        platform.python_version(),
        not any(one.status == "error" for one in findings),
        configuration.listed(environment),
        findings,
    )


async def _checks(settings: Settings, max_backup_hours: float | None) -> list[Finding]:
    return [
        *configuration.packages(settings),
        *await in_thread(configuration.credentials, settings),
        *await in_thread(folders, settings),
        *await _database(settings),
        await in_thread(backups, settings, max_backup_hours),
        *await in_thread(api, settings),
    ]


async def _database(settings: Settings) -> list[Finding]:
    try:
        return await (_embedded(settings) if settings.embedded else _servers(settings))
    except SettingsError as problem:
        return [error("database", str(problem), "Correct the setting.")]


async def _embedded(settings: Settings) -> list[Finding]:
    if not _has_database(settings.embedded_dir):
        text = f"There is no embedded database in {settings.embedded_dir} yet."
        remedy = "Run: hirebase migrate. The service makes it when it starts."
        return [error("database", text, remedy)]
    return [one async for one in _server(settings, reached_embedded(settings), None)]


async def _servers(settings: Settings) -> list[Finding]:
    """Check each server, and the tables on the first one that takes writes."""
    findings: list[Finding] = []
    for address in settings.servers:
        opened = reached(settings, address, reads=False)
        checks = _server(settings, opened, address[0], with_tables=not _has_tables(findings))
        findings += [one async for one in checks]
    if not _has_tables(findings) and not any(one.status == "error" for one in findings):
        text = "No server of MYSQL_HOST takes writes."
        findings.append(error("database", text, "Check read_only, and the state of the cluster."))
    for address in settings.read_servers:
        opened = reached(settings, address, reads=True)
        findings += [one async for one in _server(settings, opened, address[0], with_tables=False)]
    return findings


def _has_database(folder: Path) -> bool:
    """Whether the embedded server was started in a folder; it would make a database there."""
    return os.path.lexists(folder / "run")


def _has_tables(findings: Sequence[Finding]) -> bool:
    """Whether the tables are checked already."""
    return any(one.check == "migrations" for one in findings)


async def _server(
    settings: Settings,
    opened: AbstractAsyncContextManager[Reached],
    host: str | None,
    *,
    with_tables: bool = True,
) -> AsyncIterator[Finding]:
    """Check a server; host: None if it is the embedded one."""
    try:
        async with opened as server:
            how = "" if server.writes else ", for reads only"
            yield ok("database", f"{server.name} answers{how}")
            async for finding in server_checks(settings, server, host):
                yield finding
            if server.writes and with_tables:
                async for finding in table_checks(settings, server):
                    yield finding
    except Unreached as problem:
        yield problem.finding
    except DatabaseError as problem:
        yield error("database", reason(problem), "Correct the errors above, and run doctor again.")
