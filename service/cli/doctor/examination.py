"""Runs all checks, in the order in which an operator would."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager

from service import __version__
from service.cli.doctor import configuration
from service.cli.doctor.api import api
from service.cli.doctor.backups import backups
from service.cli.doctor.findings import Finding, Report, error, ok, skipped
from service.cli.doctor.folders import folders
from service.cli.doctor.server_checks import server_checks
from service.cli.doctor.servers import Reached, Unreached, reached, reached_embedded, reason
from service.cli.doctor.tables import table_checks
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
        await in_thread(api, settings),
    ]


async def _database(settings: Settings) -> list[Finding]:
    try:
        return await (_embedded(settings) if settings.embedded else _servers(settings))
    except SettingsError as problem:
        return [error("database", str(problem), "Correct the setting.")]


async def _embedded(settings: Settings) -> list[Finding]:
    if not settings.embedded_dir.exists():
        text = f"There is no embedded database in {settings.embedded_dir} yet."
        remedy = "Run: hirebase migrate. The service makes it when it starts."
        return [error("database", text, remedy)]
    findings, _ = await _server(settings, reached_embedded(settings), None)
    return findings


async def _servers(settings: Settings) -> list[Finding]:
    """Check each server, and the tables on the first one that takes writes."""
    findings: list[Finding] = []
    has_writer = False
    for address in settings.servers:
        opened = reached(settings, address, reads=False)
        found, writes = await _server(settings, opened, address[0], with_tables=not has_writer)
        findings += found
        has_writer = has_writer or writes
    if not has_writer and not any(one.status == "error" for one in findings):
        text = "No server of MYSQL_HOST takes writes."
        findings.append(error("database", text, "Check read_only, and the state of the cluster."))
    for address in settings.read_servers:
        opened = reached(settings, address, reads=True)
        findings += (await _server(settings, opened, address[0], with_tables=False))[0]
    return findings


async def _server(
    settings: Settings,
    opened: AbstractAsyncContextManager[Reached],
    host: str | None,
    *,
    with_tables: bool = True,
) -> tuple[list[Finding], bool]:
    """The findings of a server, and whether it takes writes."""
    findings: list[Finding] = []
    try:
        async with opened as server:
            how = "" if server.writes else ", for reads only"
            findings.append(ok("database", f"{server.name} answers{how}"))
            findings += [one async for one in server_checks(settings, server, host)]
            if server.writes and with_tables:
                findings += [one async for one in table_checks(settings, server)]
            return findings, server.writes
    except Unreached as problem:
        return [problem.finding], False
    except DatabaseError as problem:
        remedy = "Correct the errors above, then run doctor again."
        return [*findings, error("database", reason(problem), remedy)], False
