"""Makes the fixtures of a released version with its own program: statements, rows, backups, API.

`TEST_MYSQL_URL=mysql://… python -m tests.support.release_fixtures 0.2.0 COMMIT` writes
tests/fixtures/0.2.0. The program of that commit runs with the packages of its own lock file.
"""

from __future__ import annotations

import asyncio
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pymysql

from service.core.backups.format.codecs import CODECS
from service.core.tables import TABLES
from tests.support.contract import reduced
from tests.support.processes import free_port, wait_until_ready
from tests.support.releases import FIXTURES, INTERRUPTED, PASSWORD, REPEATED, REPEATED_KEY, USER
from tests.support.waiting import until

ROOT = Path(__file__).parents[2]
DEPARTMENTS = [
    {"department": name}
    for name in ("Legal", "Back\\slash 'quoted' \"twice\"", "Ænderung und Maß", "人事 🦀")
]
JOBS = [{"job": name} for name in ("Clerk", "clerk", "100%", "x" * 255)]
HIRES = "".join(
    f"{number},Person {number} Ω,20{number % 30:02}-0{number % 9 + 1}-1{number % 8}"
    f"T0{number % 10}:59:59.{number * 7919 % 1000000:06}Z,{number % 4 + 1},{number % 4 + 1}\n"
    for number in range(1, 31)
)
BORDERS = "31,First,1000-01-01T00:00:00Z,1,1\n40,Last,9999-12-31T23:59:59.999999Z,4,4\n"
BAD = "41, ,2021-02-30T00:00:00Z,99,x\nno,row\n"


@dataclass(frozen=True)
class Program:
    """The program of a commit, with its own packages, on a database of its own."""

    folder: Path
    python: Path
    settings: dict[str, str]

    def run(self, *arguments: str, code: int = 0) -> str:
        """Run `python -m …` to its end; the output."""
        ended = subprocess.run(
            [self.python, "-m", *arguments],
            cwd=self.folder,
            env=self.settings,
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        if ended.returncode != code:
            raise RuntimeError(f"{arguments} ended with {ended.returncode}: {ended.stdout}")
        return ended.stdout

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen([self.python, "-m", *arguments], cwd=self.folder, env=self.settings)


@contextmanager
def program_of(commit: str, server: str) -> Iterator[Program]:
    """The program of a commit of this repository, installed in a temporary folder."""
    url = urlsplit(server)
    with tempfile.TemporaryDirectory(prefix="hirebase-") as name:
        folder = Path(name) / "program"
        archive = subprocess.run(
            ["git", "archive", commit], cwd=ROOT, check=True, capture_output=True
        )
        with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tar:
            tar.extractall(folder, filter="data")
        subprocess.run([sys.executable, "-m", "venv", Path(name) / "venv"], check=True)
        python = Path(name) / "venv" / "bin" / "python"
        locked = ["install", "-q", "--require-hashes", "-r", str(folder / "requirements.lock")]
        subprocess.run([python, "-m", "pip", *locked], check=True)
        settings = {
            "PATH": os.environ["PATH"],
            "MYSQL_HOST": f"{url.hostname}",
            "MYSQL_PORT": f"{url.port}",
            "MYSQL_USER": f"{url.username}",
            "MYSQL_PASSWORD": f"{url.password}",
            "MYSQL_DATABASE": "release",
            "API_USER": USER,
            "API_PASS": PASSWORD,
            "API_PORT": str(free_port()),
            "REJECTS_DIR": f"{name}/rejects",
            "BACKUP_DIR": f"{name}/backups",
        }
        yield Program(folder, python, settings)


def connected(settings: dict[str, str], database: str | None = None) -> Any:
    return pymysql.connect(
        host=settings["MYSQL_HOST"],
        port=int(settings["MYSQL_PORT"]),
        user=settings["MYSQL_USER"],
        password=settings["MYSQL_PASSWORD"],
        database=database,
        autocommit=True,
    )


def fetch(connection: Any, statement: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return list(cursor.fetchall())


def keep_contract(program: Program, folder: Path) -> None:
    """Write what its OpenAPI document promises."""
    with serving(program) as client:
        document = client.get("/schema/openapi.json").raise_for_status().json()
    text = json.dumps(reduced(document), indent=1, sort_keys=True)
    (folder / "openapi.json").write_text(f"{text}\n", encoding="utf-8")


def fill(program: Program) -> None:
    """Use each way in: files, batches, rejected rows, a repeated key, a load that is killed."""
    with serving(program) as client:
        for path, parents in (("departments", DEPARTMENTS), ("jobs", JOBS)):
            client.post(f"/{path}", json=parents).raise_for_status()
        load(program, "hired_employees.csv", HIRES + BORDERS + BAD)
        key = {"Idempotency-Key": REPEATED_KEY}
        reply = client.post("/employees", json=REPEATED, headers=key)
        assert reply.status_code == 207, reply.text
    with connected(program.settings, "release") as connection:
        interrupt_a_load(program, connection)


def load(program: Program, name: str, text: str) -> None:
    file = program.folder / name
    file.write_text(text, encoding="utf-8")
    program.run("loader", str(file))


@contextmanager
def serving(program: Program) -> Iterator[httpx.Client]:
    process = program.start("service", "serve")
    port = int(program.settings["API_PORT"])
    try:
        wait_until_ready(process, port)
        address = f"http://127.0.0.1:{port}"
        with httpx.Client(base_url=address, auth=(USER, PASSWORD), trust_env=False) as client:
            yield client
    finally:
        process.terminate()
        process.wait()


def interrupt_a_load(program: Program, connection: Any) -> None:
    """Kill a load while a lock keeps it from its second block."""
    file = program.folder / "jobs.csv"
    file.write_text(INTERRUPTED, encoding="utf-8")
    with connected(program.settings, "release") as other:
        other.begin()
        with other.cursor() as cursor:
            cursor.execute("INSERT INTO jobs (id, job) VALUES (502, 'locked')")
        process = program.start("loader", str(file), "--workers", "1")
        asyncio.run(until(lambda: _has_checkpoint(connection), 30))
        process.kill()
        process.wait()
        other.rollback()


async def _has_checkpoint(connection: Any) -> bool:
    return bool(fetch(connection, "SELECT 1 FROM loads"))


def dump(connection: Any) -> Iterator[str]:
    """INSERT statements of all rows, parents first."""
    found = {name for (name,) in fetch(connection, "SHOW TABLES")}
    parents = [table.name for table in TABLES]
    for table in [*parents, *sorted(found.difference(parents))]:
        columns = [row[0] for row in fetch(connection, f"SHOW COLUMNS FROM {table}")]
        names = ", ".join(f"`{column}`" for column in columns)
        for row in fetch(connection, f"SELECT {names} FROM {table} ORDER BY 1, 2"):
            values = ", ".join(map(connection.escape, row))
            yield f"INSERT INTO {table} ({names}) VALUES ({values});\n"


def save(program: Program, folder: Path) -> None:
    """Write the fixtures."""
    shutil.rmtree(folder, ignore_errors=True)
    ignored = shutil.ignore_patterns("*.py", "__pycache__")
    shutil.copytree(program.folder / "sql", folder / "sql", ignore=ignored)
    with connected(program.settings, "release") as connection:
        (folder / "rows.sql").write_text("".join(dump(connection)), encoding="utf-8")
    for codec in CODECS:
        back_up(program, "--all", codec, folder / f"all-{codec}.zip")
        back_up(program, "--table=employees", codec, folder / f"employees-{codec}.avro")


def back_up(program: Program, tables: str, codec: str, path: Path) -> None:
    made = program.folder / "made"
    program.run("service", "backup", tables, "--codec", codec, str(made))
    (only,) = made.iterdir()
    only.chmod(0o644)
    only.rename(path)


def main(version: str, commit: str) -> None:
    with program_of(commit, os.environ["TEST_MYSQL_URL"]) as program:
        with connected(program.settings) as connection:
            fetch(connection, "DROP DATABASE IF EXISTS `release`")
            fetch(connection, "CREATE DATABASE `release`")
        program.run("service", "migrate")
        fill(program)
        save(program, FIXTURES / version)
        keep_contract(program, FIXTURES / version)
        with connected(program.settings) as connection:
            fetch(connection, "DROP DATABASE `release`")


if __name__ == "__main__":
    main(*sys.argv[1:])
