"""Files of lists and of rejects: empty, read back by the loader, among the long work."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import httpx
import msgspec
import pytest

from loader.loading.pipeline import load
from service.core.database.transactions import Database
from service.core.reads import exports, paths
from service.core.reads.query import query_of
from service.core.settings import Settings
from service.core.tables import TABLES, by_path
from tests.conftest import calling
from tests.integration.traffic.test_request_log import figures
from tests.support.csv_files import Folder
from tests.support.hires import add_parents
from tests.support.lists import CSV, HIRES, NDJSON, as_csv, as_lines

JOBS = by_path("jobs")


@pytest.mark.parametrize("path", [table.path for table in TABLES])
async def test_an_empty_list_is_a_file_without_rows(client: httpx.AsyncClient, path: str) -> None:
    assert (await client.get(f"/{path}", headers=NDJSON)).content == b""
    header = (await client.get(f"/{path}", headers=CSV)).text
    assert header == ",".join(next(one for one in TABLES if one.path == path).columns) + "\n"


async def test_the_loader_reads_a_file_back_unchanged(
    client: httpx.AsyncClient, database: Database, tmp_path: Any
) -> None:
    """Except for spaces at the ends of a text, which the loader removes."""
    await add_parents(database, range(1, 8))
    kept = [row for row in HIRES if row[1] == row[1].strip(" ")]
    async with database.transaction() as transaction:
        await transaction.insert(TABLES[-1].sql["insert_with_id"], kept)
    before = await as_lines(client, "/employees")
    folder = Folder(tmp_path)
    for table in TABLES:
        content = (await client.get(f"/{table.path}", headers=CSV)).content
        (folder.path / f"{table.name}.csv").write_bytes(content)
    async with database.transaction() as transaction:
        for table in reversed(TABLES):
            await transaction.execute(f"DELETE FROM {table.name}")
    await load(database, folder.options())
    assert await as_lines(client, "/employees") == before


async def test_an_export_holds_a_place_among_the_long_work(
    migrated: Settings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pool of two has one place; an export keeps it until its last row is sent."""
    stream, sent, read_on = exports.stream, asyncio.Event(), asyncio.Event()

    async def held(*arguments: Any) -> AsyncIterator[bytes]:
        async with aclosing(stream(*arguments)) as chunks, asyncio.timeout(20):
            async for chunk in chunks:
                yield chunk
                sent.set()
                await read_on.wait()

    monkeypatch.setattr(exports, "stream", held)
    async with calling(msgspec.structs.replace(migrated, mysql_pool_size=2)) as client:
        exporting = asyncio.create_task(client.get("/employees", headers=CSV))
        await sent.wait()
        for refused in [
            await client.get("/employees", headers=CSV),
            await client.get("/avro/backup/jobs"),
        ]:
            assert (refused.status_code, "Retry-After" in refused.headers) == (503, True)
        assert (await client.get("/employees")).status_code == 200
        read_on.set()
        assert (await exporting).status_code == 200
        assert (await client.get("/employees", headers=CSV)).status_code == 200
        assert (await client.get("/avro/backup/jobs")).status_code == 200
        counted = await figures(client)
        done = 'hirebase_exports_total{outcome="done",table="hired_employees"}'
        assert counted[done] == 2


async def test_rejects_are_files_too(client: httpx.AsyncClient) -> None:
    bad = [{"department": text} for text in ["", "=1+1\x00", "x" * 5000]]
    await client.post("/departments", json=bad * 50)
    await client.post("/jobs", json={"job": ""})
    listed = (await client.get("/rejects?limit=1000&table=departments")).json()["rows"]
    assert len(listed) == 150
    assert await as_lines(client, "/rejects", table="departments") == listed
    assert (
        await as_lines(client, "/rejects", table="departments", after=listed[119]["id"])
        == (listed[120:])
    )
    rows = await as_csv(client, "/rejects", table="departments")
    assert [{**row, "errors": json.loads(row["errors"])} for row in rows] == [
        {
            name: value if name in ("record", "errors") else _text(value)
            for name, value in reject.items()
        }
        for reject in listed
    ]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


async def test_rejected_formulas_are_escaped_on_request(client: httpx.AsyncClient) -> None:
    await client.post("/jobs", content=b"job\n=1+1\x00\n", headers={"Content-Type": "text/csv"})
    await client.post("/jobs", content=b"=1+1", headers={"Content-Type": "application/x-ndjson"})
    for formulas, first in (("keep", "="), ("escape", "'")):
        rows = await as_csv(client, "/rejects", formulas=formulas)
        assert rows[1]["record"][0] == first


async def test_a_file_shows_one_moment(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written after its first line is not in it."""
    monkeypatch.setattr(paths, "SCAN", 10)
    await add_parents(database, range(1, 101))
    expected = await database.fetch("SELECT id, job FROM jobs ORDER BY job")
    async with aclosing(
        exports.stream(database, query_of(JOBS, {"order": ["job"]}), "csv")
    ) as file:
        chunks = [await anext(file)]
        async with database.transaction() as transaction:
            await transaction.execute("UPDATE jobs SET job = CONCAT('z', job) WHERE id > 50")
            await transaction.execute("DELETE FROM jobs WHERE id < 20")
            await transaction.insert(JOBS.sql["insert"], [("aaa",)])
        chunks += [chunk async for chunk in file]
    assert len(chunks) > 10
    _, *lines = csv.reader(io.StringIO(b"".join(chunks).decode(), newline=""))
    assert lines == [[str(key), job] for key, job in expected]


async def test_a_file_that_is_left_frees_its_connection(database: Database) -> None:
    await add_parents(database, range(1, 101))
    for _ in range(20):
        async with aclosing(exports.stream(database, query_of(JOBS, {}), "ndjson")) as file:
            await anext(file)
    assert database.pool.freesize == database.pool.size
