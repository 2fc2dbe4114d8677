"""Examines settings as the command doctor does."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import pytest

from service.cli.doctor.examination import examine
from service.cli.doctor.findings import Finding, Report
from service.core.database.connect import connect
from service.core.settings import Settings
from tests.support import engine
from tests.support.processes import free_port

Doctor = Callable[[Settings], Awaitable[Report]]


@pytest.fixture
def doctor(tmp_path: Path) -> Doctor:
    """Examine settings, with folders and a port that nothing else uses."""

    async def examined(settings: Settings) -> Report:
        own = msgspec.structs.replace(
            settings,
            rejects_dir=tmp_path / "rejects",
            backup_dir=tmp_path / "backups",
            api_port=free_port(),
        )
        return await examine(engine.environment(own), None)

    return examined


async def execute(settings: Settings, *statements: str) -> None:
    """Run statements in one session."""
    async with connect(settings) as database, database.session(30) as session:
        for statement in statements:
            await session.execute(statement)


def found(report: Report, check: str) -> Finding:
    """The only finding of a check."""
    (finding,) = [one for one in report.findings if one.check == check]
    return finding


def wrong(report: Report) -> set[str]:
    """The checks that found an error."""
    return {one.check for one in report.findings if one.status == "error"}
