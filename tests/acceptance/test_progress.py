"""Commands show their progress: bars on a terminal, lines without one."""

from __future__ import annotations

import asyncio
import os
import pty
import re
import sys
from pathlib import Path

import pytest

from service.core.database.transactions import Database
from service.core.settings import Settings
from tests.acceptance.conftest import PROGRESS
from tests.support import engine
from tests.support.program import ROOT, environment
from tests.support.restores import fill

OFTEN = """
from service.__main__ import main
from service.core import progress
progress.INTERVAL = 0.0001
main()
"""
STEPS = {
    "backup": ["back up", "verify"],
    "verify": ["verify"],
    "restore": ["restore"],
    "restore --dry-run": ["compare"],
}


async def on_terminal(*arguments: str, **variables: str) -> tuple[int | None, str, str]:
    """(code, standard output, standard error) of a command whose standard error is a terminal."""
    ours, theirs = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "service", *arguments),
        cwd=str(ROOT),
        env=environment(variables) | {"TERM": "xterm", "COLUMNS": "120"},
        stdout=asyncio.subprocess.PIPE,
        stderr=theirs,
    )
    os.close(theirs)
    shown = asyncio.create_task(asyncio.to_thread(_read_all, ours))
    out, _ = await process.communicate()
    return process.returncode, out.decode(), await shown


def _read_all(terminal: int) -> str:
    data = b""
    with os.fdopen(terminal, "rb", buffering=0) as file:
        try:
            while chunk := file.read(1 << 16):
                data += chunk
        except OSError:  # the other side was closed
            pass
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", data.decode())


async def in_lines(*arguments: str, **variables: str) -> tuple[int | None, str, str]:
    """The same without a terminal, with a line as often as possible."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", OFTEN, *arguments),
        cwd=str(ROOT),
        env=environment(variables),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def test_without_a_terminal_there_are_only_lines(
    database: Database, migrated: Settings, tmp_path: Path
) -> None:
    await fill(database)
    variables = engine.environment(migrated) | {"BACKUP_DIR": str(tmp_path)}
    code, out, shown = await in_lines("backup", **variables)
    lines = shown.splitlines()
    assert (code, out.count("\n"), "rows/s" in out) == (0, 1, False)
    assert any("rows/s" in line for line in lines)
    assert [line for line in lines if not PROGRESS.fullmatch(line)] == []


@pytest.mark.parametrize("command", STEPS)
async def test_a_terminal_shows_the_steps_with_rows_rate_and_time_left(
    database: Database, migrated: Settings, tmp_path: Path, command: str
) -> None:
    await fill(database)
    variables = engine.environment(migrated) | {"BACKUP_DIR": str(tmp_path)}
    _, saved, _ = await on_terminal("backup", **variables)
    file = tmp_path / saved.partition(":")[0]
    arguments = command.split() + ([] if command == "backup" else [str(file)])
    code, out, shown = await on_terminal(*arguments, **variables)
    assert (code, "rows/s" in out) == (0, False)
    for step in STEPS[command]:
        for table, rows in (("departments", 3), ("jobs", 5), ("employees", 30)):
            done = rf"{step} {table} .*{rows} rows, [0-9,]+ rows/s +0:00:00"
            assert re.search(done, shown), shown
