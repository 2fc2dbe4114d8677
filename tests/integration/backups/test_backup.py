"""Backups over HTTP: of one moment, streamed, in every codec, closed with their client."""

from __future__ import annotations

import asyncio
import io
import json
import zipfile
from typing import Any

import fastavro
import pytest
from httpx import AsyncClient as Client

from service.core.backups import backup, table_checksum
from service.core.backups import pages as paging
from service.core.backups.format.codecs import CODECS, Codec
from service.core.backups.table_checksum import checksum_of
from service.core.database.transactions import Database
from service.core.errors import DatabaseError
from service.core.prefetch import buffered
from service.core.rules.fields import MAX_ID
from service.core.tables import TABLES
from tests.support.backup_files import DEPARTMENTS, EMPLOYEES, JOBS, records, verified
from tests.support.sizes import sized

MANY = sized(short=50, full=200)


@pytest.fixture
async def filled(database: Database) -> Database:
    await fill(database, 60)
    return database


async def fill(database: Database, hires: int) -> None:
    from service.core.rules.avro_records import validate

    async with database.transaction() as transaction:
        for table, count in ((DEPARTMENTS, 3), (JOBS, 5), (EMPLOYEES, hires)):
            rows = validate(table, records(table, count)).rows
            await transaction.insert(table.sql["insert_with_id"], rows)


@pytest.mark.parametrize("codec", CODECS)
async def test_a_table_is_backed_up_in_every_codec(
    client: Client, filled: Database, codec: Codec
) -> None:
    reply = await client.get(f"/avro/backup/employees?codec={codec}")
    assert reply.status_code == 200
    assert reply.headers["content-type"] == "application/avro"
    assert "hired_employees.avro" in reply.headers["content-disposition"]
    (verdict,) = verified(reply.content).tables
    assert (verdict.table, verdict.rows, verdict.codec) == ("employees", 60, codec)
    assert [row["id"] for row in _read(reply.content)] == [*range(1, 61)]


async def test_all_tables_are_a_zip_that_ends_with_a_manifest(
    client: Client, filled: Database
) -> None:
    reply = await client.get("/avro/backup/all")
    assert reply.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(reply.content)) as archive:
        names = archive.namelist()
        manifest = json.loads(archive.read(names[-1]))
        assert archive.testzip() is None
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}
    assert names == [*(f"{table.name}.avro" for table in TABLES), "manifest.json"]
    assert {name: part["rows"] for name, part in manifest["tables"].items()} == {
        "departments": 3,
        "jobs": 5,
        "hired_employees": 60,
    }
    assert verified(reply.content).verified


async def test_a_backup_names_its_server_and_its_position(client: Client, filled: Database) -> None:
    """The same in the manifest and in each file; seekdb has neither."""
    content = (await client.get("/avro/backup/all")).content
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        manifest = json.loads(archive.read("manifest.json"))
    ((version,),) = await filled.fetch("SELECT VERSION()")
    is_known = "OceanBase" not in version
    assert ("server" in manifest, "position" in manifest) == (is_known, is_known)
    for verdict in verified(content).tables:
        found = (verdict.server, verdict.position)
        assert found == (manifest.get("server", ""), manifest.get("position", ""))


async def test_an_empty_table_is_backed_up(client: Client, database: Database) -> None:
    (verdict,) = verified((await client.get("/avro/backup/jobs")).content).tables
    assert (verdict.rows, verdict.verified) == (0, True)


@pytest.mark.parametrize("path", ["/avro/backup/nothing", "/avro/backup/jobs?codec=lzma"])
async def test_an_unknown_table_or_codec_is_a_problem(client: Client, path: str) -> None:
    reply = await client.get(path)
    assert reply.status_code in (400, 404)
    assert reply.headers["content-type"] == "application/problem+json"


async def test_the_database_and_a_file_have_the_same_checksum(filled: Database) -> None:
    for table in TABLES:
        async with filled.snapshot(30) as snapshot:
            total = await checksum_of(snapshot, table)
        content = b"".join([piece async for piece in backup.stream_table(filled, table, "null")])
        assert (total.rows, verified(content).verified) == (verified(content).tables[0].rows, True)


async def test_the_checksum_is_the_same_for_any_range_size(
    filled: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with filled.snapshot(30) as snapshot:
        whole = await checksum_of(snapshot, EMPLOYEES)
        for size in (1, 7, 59, 60, 61):
            monkeypatch.setattr(table_checksum, "RANGE", size)
            assert await checksum_of(snapshot, EMPLOYEES) == whole


async def test_pages_follow_one_another(filled: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    for size in (1, 7, 60, 61):
        monkeypatch.setattr(paging, "PAGE", size)
        pieces = [piece async for piece in backup.stream_table(filled, EMPLOYEES, "deflate")]
        assert verified(b"".join(pieces)).tables[0].rows == 60


async def test_a_client_that_leaves_frees_the_connection(
    filled: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paging, "PAGE", 1)
    for pieces in range(4):
        stream = buffered(backup.stream_all(filled, "deflate"), 60)
        for _ in range(pieces + 1):
            await anext(stream)
        await asyncio.wait_for(stream.aclose(), 1)
        await asyncio.sleep(0)
        assert filled.pool.size == filled.pool.freesize


@pytest.mark.parametrize("backups", [20, pytest.param(MANY, marks=pytest.mark.chaos)])
async def test_a_backup_is_of_one_moment(
    database: Database, monkeypatch: pytest.MonkeyPatch, backups: int
) -> None:
    """Hires and their department are written and removed together: no backup shows one alone."""
    monkeypatch.setattr(paging, "PAGE", 20)
    await fill(database, 10)
    done = asyncio.Event()
    writers = [asyncio.create_task(_pairs(database, done, start)) for start in (1000, 1_000_000)]
    try:
        for _ in range(backups):
            content = await _everything(database)
            departments, hires = _ids(content, "departments"), _rows(content, "hired_employees")
            assert {row["department_id"] for row in hires} <= departments
    finally:
        done.set()
        await asyncio.gather(*writers)


async def _pairs(database: Database, done: asyncio.Event, start: int) -> None:
    key = start
    while not done.is_set():
        key += 1
        async with database.transaction() as transaction:
            await transaction.insert(DEPARTMENTS.sql["insert_with_id"], [(key, "Pair")])
            hire = (key, "Pair", "2021-01-01T00:00:00", key, 1)
            await transaction.insert(EMPLOYEES.sql["insert_with_id"], [hire])
        if key % 10:
            async with database.transaction() as transaction:
                await transaction.execute(f"DELETE FROM hired_employees WHERE id = {key}")
                await transaction.execute(f"DELETE FROM departments WHERE id = {key}")


async def _everything(database: Database) -> bytes:
    return b"".join([piece async for piece in backup.stream_all(database, "null")])


def _rows(content: bytes, name: str) -> list[Any]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return _read(archive.read(f"{name}.avro"))


def _read(content: bytes) -> list[Any]:
    return [*fastavro.reader(io.BytesIO(content))]


def _ids(content: bytes, name: str) -> set[int]:
    return {row["id"] for row in _rows(content, name)}


@pytest.mark.parametrize("cut_off", [1, 2, 3, 4, 5, 8, 40])
async def test_a_page_that_is_cut_short_fails(database: Database, cut_off: int) -> None:
    """A session that lost its limit of GROUP_CONCAT can cut a page anywhere."""
    async with database.transaction() as transaction:
        rows = [(key, "x") for key in range(10, 20)]
        await transaction.insert(DEPARTMENTS.sql["insert_with_id"], rows)
    page = "".join(f'{key},"x",' for key, _ in rows)
    async with database.reserved() as cut:
        await cut.fetch(f"SET SESSION group_concat_max_len = {len(page) - cut_off}")
        with pytest.raises(DatabaseError, match="a part of a page of departments"):
            async for _ in backup.stream_table(cut, DEPARTMENTS, "null"):
                pass


async def test_a_row_with_an_id_below_one_fails(database: Database) -> None:
    async with database.transaction() as transaction:
        await transaction.insert(DEPARTMENTS.sql["insert_with_id"], [(5, "x"), (7, "y")])
        await transaction.execute("UPDATE departments SET id = 0 WHERE id = 5")
    with pytest.raises(DatabaseError, match="departments has a row with the id 0"):
        async for _ in backup.stream_table(database, DEPARTMENTS, "null"):
            pass


@pytest.mark.parametrize("gaps", [(), (1,), (7,), (8,), (14, 15), (20,), tuple(range(3, 40))])
async def test_pages_follow_one_another_over_gaps(
    filled: Database, monkeypatch: pytest.MonkeyPatch, gaps: tuple[int, ...]
) -> None:
    monkeypatch.setattr(paging, "PAGE", 7)
    for key in gaps:
        await filled.fetch(f"DELETE FROM hired_employees WHERE id = {key}")
    pieces = [piece async for piece in backup.stream_table(filled, EMPLOYEES, "deflate")]
    expected = [key for key in range(1, 61) if key not in gaps]
    assert [row["id"] for row in _read(b"".join(pieces))] == expected


async def test_the_last_ids_are_backed_up(database: Database) -> None:
    keys = [MAX_ID - 2, MAX_ID - 1, MAX_ID]
    async with database.transaction() as transaction:
        rows = [(key, "x") for key in keys]
        await transaction.insert(DEPARTMENTS.sql["insert_with_id"], rows)
    pieces = [piece async for piece in backup.stream_table(database, DEPARTMENTS, "deflate")]
    assert [row["id"] for row in _read(b"".join(pieces))] == keys
