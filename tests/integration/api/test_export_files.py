"""Files of lists and of rejects: empty, read back by the loader, among the long work."""

from __future__ import annotations

import json
from typing import Any

import httpx
import msgspec
import pytest

from loader.loading.pipeline import load
from service.core.database.transactions import Database
from service.core.settings import Settings
from service.core.tables import TABLES
from tests.conftest import calling
from tests.integration.traffic.test_request_log import figures
from tests.support.csv_files import Folder
from tests.support.hires import add_parents
from tests.support.lists import CSV, HIRES, NDJSON, as_csv, as_lines


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
    migrated: Settings, database: Database
) -> None:
    """A pool of two has one place; a client that reads slowly keeps it."""
    async with calling(msgspec.structs.replace(migrated, mysql_pool_size=2)) as client:
        app: Any = client._transport.app  # type: ignore[attr-defined]
        with app.state.long_work.entered():
            refused = await client.get("/employees", headers=CSV)
            assert (refused.status_code, "Retry-After" in refused.headers) == (503, True)
            assert (await client.get("/employees")).status_code == 200
        assert (await client.get("/employees", headers=CSV)).status_code == 200
        counted = await figures(client)
        done = 'hirebase_exports_total{outcome="done",table="hired_employees"}'
        assert counted[done] == 1


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
        assert rows[1]["record"][0] in (first, '"')
