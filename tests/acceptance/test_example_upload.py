"""The example uploader against a real service: each row of a file is written once."""

from __future__ import annotations

import csv
import gzip
import json
import re
import signal
from functools import partial
from pathlib import Path

import pytest

from service.core.database.transactions import Database
from tests.conftest import PASSWORD, USER
from tests.support.example_clients import command, is_written, names
from tests.support.hires import hire
from tests.support.program import Service
from tests.support.waiting import until

ROWS = 8_000


@pytest.fixture
def hires(tmp_path: Path) -> Path:
    """A file whose rows 2 and 5,001 are bad."""
    path = tmp_path / "hires.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(hire())
        for number in range(ROWS):
            name = " " if number in (1, 5000) else f"Person, the {number}."
            writer.writerow(hire(name=name).values())
    return path


async def test_a_file_is_uploaded_once(
    parents: Database, service: Service, hires: Path, tmp_path: Path
) -> None:
    rejects = tmp_path / "rejects.ndjson"
    upload = partial(
        command, "upload", "employees", str(hires), f"--rejects={rejects}", port=service.port
    )
    for _ in range(2):
        ended = await upload()
        assert (ended.code, ended.err) == (1, "")
        assert ended.out.startswith(f"{ROWS} rows sent, {ROWS - 2} written, 2 rejected, ")
        lines = [json.loads(line) for line in rejects.read_text(encoding="utf-8").splitlines()]
        assert sorted(line["line"] for line in lines) == [3, 5002]
        assert {*lines[0]["errors"]} == {"name is missing"}
    stored = await names(parents)
    assert len(stored) == len(set(stored)) == ROWS - 2


async def test_a_killed_upload_continues(parents: Database, service: Service, hires: Path) -> None:
    upload = partial(command, "upload", "employees", str(hires), port=service.port)
    killed = await upload(until=until(partial(is_written, parents), 30))
    assert killed.code == -signal.SIGKILL
    ended = await upload()
    assert ended.code == 1, ended.err
    stored = await names(parents)
    assert len(stored) == len(set(stored)) == ROWS - 2


async def test_an_upload_adapts_to_a_busy_service(
    parents: Database, narrow: Service, hires: Path
) -> None:
    ended = await command("upload", "employees", str(hires), port=narrow.port)
    assert ended.code == 1, ended.err
    assert ended.out.startswith(f"{ROWS} rows sent, {ROWS - 2} written")
    async with narrow.client(USER, PASSWORD) as client:
        metrics = (await client.get("/metrics")).text
    refused = re.findall(r'request_seconds_count{.*status="503"} (.*)', metrics)
    assert refused
    assert sum(map(float, refused)) < ROWS / 1000


async def test_other_columns_and_gzip(database: Database, service: Service, tmp_path: Path) -> None:
    path = tmp_path / "jobs.csv.gz"
    path.write_bytes(gzip.compress(b'7;Clerk;x\n8;"Judge; retired";y\n9\n'))
    options = ("--columns=-,job,-", "--delimiter=;")
    ended = await command("upload", "jobs", str(path), *options, port=service.port)
    assert ended.out.startswith("3 rows sent, 3 written")
    assert await database.fetch("SELECT job FROM jobs ORDER BY job") == [
        ("9",),
        ("Clerk",),
        ("Judge; retired",),
    ]


async def test_an_upload_that_stops_says_so(service: Service, hires: Path) -> None:
    ended = await command("upload", "no-such-table", str(hires), port=service.port)
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert ended.err.startswith("404: ")
