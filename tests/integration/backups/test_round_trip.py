"""Backup, changes, restore: the tables equal those before, by the server's checksums."""

from __future__ import annotations

import io
import zipfile
from typing import Any

import fastavro
import pytest
from httpx import AsyncClient

from service.core.database.transactions import Database
from service.core.tables import TABLES, Table, by_path
from tests.support.hires import hire

TEXTS = ["O'Brien", '"quoted"', "back\\slash", "50 %s %(x)s", "שלום", "😀 emoji", " spaced ", "İı"]
EMPTY_FIRST = list(reversed(TABLES))


async def checksums(database: Database) -> dict[str, list[tuple[Any, ...]]]:
    """Checksums of every table, by separate SQL, over every byte of every column."""
    found = {}
    for table in TABLES:
        columns = ", ".join(f"HEX(`{name}`)" for name in table.columns)
        found[table.path] = await database.fetch(
            f"SELECT COUNT(*), SUM(CRC32(CONCAT_WS('|', {columns}))), "
            f"BIT_XOR(CRC32(SHA2(CONCAT_WS('|', {columns}), 256))) FROM {table.name}"
        )
    return found


async def post(client: AsyncClient, table: str, rows: list[dict[str, Any]]) -> list[int]:
    reply = await client.post(f"/{table}", json=rows)
    assert reply.status_code == 201, reply.text
    ids: list[int] = reply.json()["ids"]
    return ids


@pytest.fixture
async def history(client: AsyncClient) -> None:
    """Rows in every table, with text that is easily spoilt."""
    departments = await post(client, "departments", [{"department": text} for text in TEXTS])
    jobs = await post(client, "jobs", [{"job": text} for text in TEXTS])
    await post(client, "employees", hires(departments, jobs, 300))


def hires(departments: list[int], jobs: list[int], count: int) -> list[dict[str, Any]]:
    return [
        hire(
            name=f"{TEXTS[at % len(TEXTS)]} {at}",
            datetime=f"2021-07-27T16:02:{at % 60:02}.{at:06}Z",
            department_id=departments[at % len(departments)],
            job_id=jobs[at % len(jobs)],
        )
        for at in range(count)
    ]


async def backup(client: AsyncClient, table: str) -> bytes:
    reply = await client.get(f"/avro/backup/{table}")
    assert reply.status_code == 200
    return reply.content


async def restore(client: AsyncClient, table: str, content: bytes) -> dict[str, Any]:
    reply = await client.post(f"/avro/restore/{table}", content=content)
    assert reply.status_code == 200, reply.text
    result: dict[str, Any] = reply.json()
    return result


async def post_five_hundred(client: AsyncClient) -> None:
    departments = await post(client, "departments", [{"department": "New"}] * 100)
    jobs = await post(client, "jobs", [{"job": "New"}] * 100)
    await post(client, "employees", hires(departments, jobs, 300))


async def test_a_restore_brings_the_tables_back(
    client: AsyncClient, database: Database, history: None
) -> None:
    before = await checksums(database)
    files = {table: await backup(client, table.path) for table in TABLES}
    await post_five_hundred(client)
    assert await checksums(database) != before
    for table in EMPTY_FIRST:
        result = await restore(client, table.path, files[table])
        assert result["verified"]
        assert result["removed"] in (100, 300)
    assert await checksums(database) == before


async def test_the_archive_holds_the_same_rows_as_the_files(
    client: AsyncClient, history: None
) -> None:
    archive = zipfile.ZipFile(io.BytesIO(await backup(client, "all")))
    assert archive.testzip() is None
    for table in TABLES:
        alone = await backup(client, table.path)
        assert records(archive.read(f"{table.name}.avro")) == records(alone)


def records(content: bytes) -> list[Any]:
    return list(fastavro.reader(io.BytesIO(content)))


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.path)
async def test_an_empty_table_is_a_valid_file_that_restores(
    client: AsyncClient, database: Database, table: Table
) -> None:
    content = await backup(client, table.path)
    assert records(content) == []
    if table is not by_path("employees"):
        await post(client, table.path, [{table.fields[0].name: "New"}] * 3)
    result = await restore(client, table.path, content)
    assert result["restored"] == 0
    assert await database.fetch(f"SELECT COUNT(*) FROM {table.name}") == [(0,)]


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.path)
async def test_a_wrong_file_changes_nothing(
    client: AsyncClient, database: Database, history: None, table: Table
) -> None:
    before = await checksums(database)
    others = [await backup(client, other.path) for other in TABLES if other is not table]
    own = await backup(client, table.path)
    for content in (b"id,job\n1,Clerk\n", b"", b"Obj\x01", own[:-20], own[:100], *others):
        reply = await client.post(f"/avro/restore/{table.path}", content=content)
        assert reply.status_code == 422, reply.text
        assert reply.headers["Content-Type"] == "application/problem+json"
    assert await checksums(database) == before


@pytest.mark.parametrize("parent", ["departments", "jobs"])
async def test_a_restore_that_would_leave_orphans_changes_nothing(
    client: AsyncClient, database: Database, history: None, parent: str
) -> None:
    old = await backup(client, parent)
    departments = await post(client, "departments", [{"department": "New"}])
    jobs = await post(client, "jobs", [{"job": "New"}])
    await post(client, "employees", hires(departments, jobs, 7))
    before = await checksums(database)
    reply = await client.post(f"/avro/restore/{parent}", content=old)
    assert reply.status_code == 409
    assert reply.json()["orphans"] == 7
    assert "7" in reply.json()["detail"]
    assert await checksums(database) == before


async def test_hires_without_their_parents_are_not_restored(
    client: AsyncClient, database: Database, history: None
) -> None:
    content = await backup(client, "employees")
    async with database.transaction() as transaction:
        await transaction.execute("DELETE FROM hired_employees")
        await transaction.execute("DELETE FROM jobs")
    before = await checksums(database)
    reply = await client.post("/avro/restore/employees", content=content)
    assert reply.status_code == 409
    assert reply.json()["orphans"] > 0
    assert await checksums(database) == before
