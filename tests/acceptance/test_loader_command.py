"""python -m loader as a process."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import pty
import re
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from service.core.database.transactions import Database
from tests.support import program

REAL = program.ROOT.parent / "shared" / "data"
LOADER = f"{sys.executable} -m loader"
COUNTS = {"departments": (12, 0), "jobs": (183, 0), "hired_employees": (1929, 70)}
KEY = "SELECT DISTINCT LEFT(origin_key, 16) FROM rejects WHERE table_name = 'hired_employees'"


async def load(variables: dict[str, str], *arguments: str) -> program.Ended:
    return await program.run("loader", *arguments, **variables)


async def in_shell(variables: dict[str, str], command: str) -> tuple[int | None, str]:
    """(exit code, standard error) of a command of bash."""
    process = await asyncio.create_subprocess_exec(
        *("bash", "-c", command),
        cwd=program.ROOT,
        env=program.environment(variables),
        stderr=asyncio.subprocess.PIPE,
    )
    _, error = await process.communicate()
    return process.returncode, error.decode()


def counts(ended: program.Ended) -> dict[str, tuple[int, int]]:
    return {file["table"]: (file["added"], file["rejected"]) for file in json.loads(ended.out)}


async def test_the_sample_is_loaded(variables: dict[str, str]) -> None:
    first = await load(variables)
    assert first.code == 0, first.err
    assert "hired_employees: 1999 read, 1929 added, 70 rejected" in first.out
    again = await load(variables)
    assert again.out.endswith("No row was added or changed.\n")


async def test_json_prints_only_the_summary(variables: dict[str, str]) -> None:
    ended = await load(variables, "--json")
    assert (ended.code, ended.err) == (0, "")
    assert counts(ended) == COUNTS


@pytest.mark.skipif(not REAL.exists(), reason="the real data is not available")
@pytest.mark.parametrize("version", ["as it is", "CRLF", "BOM", "header", "gzip", "all"])
async def test_the_real_data(
    variables: dict[str, str], database: Database, tmp_path: Path, version: str
) -> None:
    headers = {
        "departments": "id,department",
        "jobs": "job,id",
        "hired_employees": "id,name,datetime,department_id,job_id",
    }
    for name in COUNTS:
        content = (REAL / f"{name}.csv").read_bytes()
        if version in {"header", "all"}:
            if name == "jobs":
                content = re.sub(rb"(?m)^(\d+),(.*)$", rb"\2,\1", content)
            content = headers[name].encode() + b"\n" + content
        if version in {"CRLF", "all"}:
            content = content.replace(b"\n", b"\r\n")
        if version in {"BOM", "all"}:
            content = b"\xef\xbb\xbf" + content
        packed = version in {"gzip", "all"}
        path = tmp_path / f"{name}.csv{'.gz' if packed else ''}"
        path.write_bytes(gzip.compress(content) if packed else content)
    ended = await load(variables, "--json", "--data-dir", str(tmp_path))
    assert counts(ended) == COUNTS
    rejects = (tmp_path / "rejects" / "hired_employees.rejects.csv").read_text().splitlines()
    first = 1 if version in {"header", "all"} else 0
    row = "2,Ty Hofer,2021-05-30T05:43:46Z,8,"
    ((key,),) = await database.fetch(KEY)
    assert rejects[1] == f"{2 + first},job_id is missing,{key}:{2 + first},{row}"
    assert len(rejects) == 71


@pytest.mark.parametrize("packed", [False, True])
async def test_standard_input(variables: dict[str, str], database: Database, packed: bool) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "loader", "-", "--table", "jobs", "--delimiter", "\\t"),
        cwd=program.ROOT,
        env=program.environment(variables),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    sent = b"1\tClerk\n2\t\n"
    out, _ = await process.communicate(gzip.compress(sent) if packed else sent)
    assert process.returncode == 0
    assert b"1 added, 1 rejected (job 1)" in out
    assert b"jobs.rejects.csv" in out
    assert await database.fetch("SELECT id, job FROM jobs") == [(1, "Clerk")]


async def test_output_and_input_that_cannot_be_used(
    variables: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "jobs.csv").write_text("1,Clerk\n")
    for command, message in (
        ("- --table jobs <&-", "Standard input is closed."),
        (f"{tmp_path}/jobs.csv >/dev/full", "its summary cannot be printed: No space left"),
    ):
        code, error = await in_shell(variables, f"exec {LOADER} {command}")
        assert code in {1, 2}
        assert message in error
        assert error.count("\n") == 1


async def test_a_dry_run_on_a_full_disk_stops(variables: dict[str, str], tmp_path: Path) -> None:
    jobs = tmp_path / "jobs.csv"
    jobs.write_text("".join(f"{number},Clerk\n" for number in range(1, 300_000)))
    code, error = await in_shell(variables, f"ulimit -f 100; exec {LOADER} --dry-run {jobs}")
    assert code == 1
    assert "The dry run cannot write its temporary file" in error
    assert "Traceback" not in error


async def test_a_named_pipe(variables: dict[str, str], database: Database, tmp_path: Path) -> None:
    pipe = tmp_path / "jobs.csv"
    os.mkfifo(pipe)
    loading = asyncio.create_task(load(variables, str(pipe)))
    await asyncio.to_thread(pipe.write_bytes, b"1,Clerk\n2,\n")
    ended = await loading
    assert "jobs: 2 read, 1 added, 1 rejected (job 1)" in ended.out
    assert await database.fetch("SELECT origin FROM rejects") == [(str(pipe),)]


async def test_a_rejects_folder_that_cannot_be_used_ends_it_before_anything_is_written(
    variables: dict[str, str], database: Database
) -> None:
    ended = await load(variables | {"REJECTS_DIR": "/proc/rejects"})
    assert (ended.code, ended.out) == (2, "")
    assert "Rejects cannot be written into /proc/rejects: No such file or directory." in ended.err
    assert "Traceback" not in ended.err
    assert await database.fetch("SELECT COUNT(*) FROM departments") == [(0,)]


async def test_a_full_disk_for_rejects_stops_it_and_the_next_run_continues(
    variables: dict[str, str], database: Database, tmp_path: Path
) -> None:
    jobs = tmp_path / "jobs.csv"
    jobs.write_text("1,Clerk\n2,\n" + "x" * 900_000 + "\n" + "y" * 900_000 + "\n3,Cook\n")
    code, error = await in_shell(variables, f"ulimit -f 1000; exec {LOADER} {jobs}")
    assert code == 1
    assert f"Rejects cannot be written into {tmp_path}/rejects: File too large." in error
    assert "Traceback" not in error
    again = await load(variables, str(jobs), "--json")
    assert counts(again) == {"jobs": (2, 3)}


async def test_a_dry_run_writes_nothing(variables: dict[str, str], database: Database) -> None:
    ended = await load(variables, "--dry-run")
    assert ended.code == 0
    assert "hired_employees: 1999 read, 1929 added, 70 rejected" in ended.out
    assert ended.out.endswith("Dry run: nothing was written.\n")
    for table in (*COUNTS, "rejects", "loads"):
        assert await database.fetch(f"SELECT COUNT(*) FROM {table}") == [(0,)]


async def test_too_many_rejects_stop_it(variables: dict[str, str], database: Database) -> None:
    ended = await load(variables, "--max-rejects", "69")
    assert ended.code == 1
    assert "70 rows break a rule, and --max-rejects allows 69. Nothing was loaded." in ended.err
    assert await database.fetch("SELECT COUNT(*) FROM departments") == [(0,)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data-dir", "nowhere"], "nowhere cannot be read: No such file or directory."),
        (["--data-dir", "sql"], "sql holds no file for any table"),
        (["nowhere/jobs.csv"], "nowhere/jobs.csv cannot be read: No such file or directory."),
        (["loader", "--table", "jobs"], "loader cannot be read: Is a directory."),
        (["n" * 300 + "/jobs.csv"], "jobs.csv cannot be read: File name too long."),
        (["--data-dir", "n" * 300], "nnn cannot be read: File name too long."),
        (["/dev/zero", "--table", "jobs"], "/dev/zero is a device."),
        (["/proc/self/mem", "--table", "jobs"], "mem cannot be read: Input/output error."),
        (["-"], "Name its table with --table."),
        (["README.md"], "Name its table with --table."),
        (["--on-conflict", "guess"], "Invalid value"),
        (["--delimiter", "::"], "not one ASCII character"),
        (["--workers", "0"], "Invalid value"),
    ],
    ids=str,
)
async def test_wrong_usage_is_code_2(
    variables: dict[str, str], arguments: list[str], message: str
) -> None:
    ended = await load(variables, *arguments)
    assert (ended.code, ended.out) == (2, "")
    assert message in ended.err
    assert "Traceback" not in ended.err


async def test_an_unreachable_database_is_code_1(variables: dict[str, str]) -> None:
    away = variables | {"MYSQL_HOST": "127.0.0.1", "MYSQL_PORT": "9", "MYSQL_WAIT": "0"}
    ended = await load(away)
    assert (ended.code, ended.out) == (1, "")
    assert "No database answers at 127.0.0.1:9" in ended.err


def printed(screen: int) -> str:
    """What a program prints to its terminal until it ends. A terminal holds a few KiB at a time."""
    parts = []
    with suppress(OSError), open(screen, "rb", buffering=0) as file:
        while part := file.read(1 << 16):
            parts.append(part)
    return b"".join(parts).decode()


async def test_a_terminal_gets_a_bar(variables: dict[str, str]) -> None:
    screen, terminal = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "loader"),
        cwd=program.ROOT,
        env=program.environment(variables) | {"TERM": "xterm", "COLUMNS": "120"},
        stdout=asyncio.subprocess.PIPE,
        stderr=terminal,
    )
    os.close(terminal)
    shown, _ = await asyncio.gather(asyncio.to_thread(printed, screen), process.communicate())
    assert process.returncode == 0
    assert "1,999 rows" in shown
    assert "70 rejects" in shown


async def test_help_names_the_exit_codes(variables: dict[str, str]) -> None:
    ended = await load(variables, "--help")
    assert "0 done (rejects are reported), 1 stopped, 2 wrong usage or input" in " ".join(
        ended.out.split()
    )
