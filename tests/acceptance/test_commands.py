"""The commands as processes: their output and their exit codes."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest

import sql
from service.core.database.connect import connect
from service.core.settings import Settings
from tests.support import engine
from tests.support.processes import free_port
from tests.support.program import ROOT, Ended, run

SAMPLE = ROOT / "loader" / "sample"
NAMES = ("departments", "jobs", "hired_employees")


def one_clear_line(ended: Ended) -> str:
    """The error output, which must be one line without a traceback."""
    assert ended.err.count("\n") == 1, ended.err
    assert "Traceback" not in ended.err
    return ended.err.rstrip()


async def tables(settings: Settings) -> dict[str, int]:
    """The number of rows in each existing table."""
    async with connect(settings) as database:
        names = [name for (name,) in await database.fetch("SHOW TABLES")]
        return {
            name: (await database.fetch(f"SELECT COUNT(*) FROM {name}"))[0][0]
            for name in names
            if name in (*NAMES, "rejects")
        }


async def test_migrating_twice_changes_nothing_and_says_so(scratch: Settings) -> None:
    variables = engine.environment(scratch)
    first, second = [await run("service", "migrate", **variables) for _ in range(2)]
    assert (first.code, second.code) == (0, 0)
    assert first.out.split("\n")[:-1] == [f"{at:04} {name}" for at, name, _ in sql.migrations()]
    assert second.out == "Up to date.\n"


async def test_loading_twice_changes_nothing_and_says_so(scratch: Settings) -> None:
    variables = engine.environment(scratch)
    first = await run("loader", **variables)
    counts = await tables(scratch)
    second = await run("loader", **variables)
    assert (first.code, second.code) == (0, 0), first.err + second.err
    assert counts == {"departments": 12, "jobs": 183, "hired_employees": 1929, "rejects": 70}
    assert await tables(scratch) == counts
    assert "No row was added or changed" not in first.out
    assert "No row was added or changed" in second.out


async def test_a_load_prints_its_summary_as_json(scratch: Settings) -> None:
    ended = await run("loader", "--json", **engine.environment(scratch))
    summaries = msgspec.json.decode(ended.out, type=list[dict[str, Any]])
    assert [(part["table"], part["added"], part["rejected"]) for part in summaries] == [
        ("departments", 12, 0),
        ("jobs", 183, 0),
        ("hired_employees", 1929, 70),
    ]


@pytest.mark.parametrize("missing", NAMES)
async def test_a_table_without_a_file_is_skipped_and_the_summary_says_so(
    scratch: Settings, tmp_path: Path, missing: str
) -> None:
    for name in set(NAMES) - {missing}:
        shutil.copy(SAMPLE / f"{name}.csv", tmp_path)
    (tmp_path / f"{missing}.rejects.csv").write_text("x\n")
    folders = {"DATA_DIR": str(tmp_path), "REJECTS_DIR": str(tmp_path / "rejects")}
    ended = await run("loader", **(engine.environment(scratch) | folders))
    assert ended.code == 0, ended.err
    assert f"No file for {missing} in {tmp_path}" in ended.out.splitlines()
    dry = await run("loader", "--dry-run", "--json", **(engine.environment(scratch) | folders))
    by_table = {one["table"]: one for one in msgspec.json.decode(dry.out)}
    assert list(by_table) == list(NAMES)
    assert (by_table[missing]["file"], by_table[missing]["read"]) == (None, 0)
    assert by_table[missing]["notes"] == [f"No file for {missing} in {tmp_path}"]


@pytest.mark.parametrize("found", ["", "employees.csv", "Jobs.csv", "depatrments.csv.gz", "x.CSV"])
@pytest.mark.parametrize("command", [("loader",), ("service", "serve", "--load")])
async def test_a_folder_without_files_or_with_an_unknown_file_is_refused_before_anything_is_written(
    scratch: Settings, tmp_path: Path, found: str, command: tuple[str, ...]
) -> None:
    if found:
        shutil.copy(SAMPLE / "jobs.csv", tmp_path)
        (tmp_path / found).touch()
    rejects = tmp_path / "rejects"
    folders = {"DATA_DIR": str(tmp_path), "REJECTS_DIR": str(rejects)}
    ended = await run(*command, **(engine.environment(scratch) | folders))
    assert ended.code == 2
    line = one_clear_line(ended)
    assert str(tmp_path) in line
    assert found in line if found else "DATA_DIR" in line
    assert set((await tables(scratch)).values()) <= {0}
    assert not rejects.exists()


@pytest.mark.parametrize("command", [("loader",), ("service", "migrate"), ("service", "serve")])
async def test_the_message_names_a_database_that_does_not_answer(command: tuple[str, ...]) -> None:
    port = str(free_port())
    away = {"MYSQL_HOST": "127.0.0.1", "MYSQL_PORT": port, "MYSQL_WAIT": "0", "API_PASS": "x"}
    ended = await run(*command, **away)
    assert ended.code == 1
    line = one_clear_line(ended)
    assert f"127.0.0.1:{port}" in line
    assert "MYSQL_HOST" in line


@pytest.mark.parametrize("command", [("loader",), ("service", "migrate"), ("service", "serve")])
async def test_a_bad_setting_stops_the_start_and_is_named(command: tuple[str, ...]) -> None:
    ended = await run(*command, API_PORT="eighty")
    assert ended.code == 2
    assert re.match(r"(hirebase|loader): API_PORT: ", one_clear_line(ended))


@pytest.mark.parametrize(
    "command",
    [
        ("service", "nonsense"),
        ("service", "--nonsense"),
        ("loader", "--on-conflict", "perhaps"),
    ],
)
async def test_a_bad_command_line_prints_the_usage(command: tuple[str, ...]) -> None:
    ended = await run(*command)
    assert ended.code == 2
    assert "Usage:" in ended.err
    assert "Error:" in ended.err
    assert "Traceback" not in ended.err


@pytest.mark.parametrize("module", ["service", "loader"])
async def test_help_needs_no_database(module: str) -> None:
    ended = await run(module, "--help", API_PORT="eighty")
    assert (ended.code, ended.err) == (0, "")
    assert "Usage:" in ended.out
