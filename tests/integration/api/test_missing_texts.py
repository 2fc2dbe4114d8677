"""A file or a backup has all rows, or it fails: the database may return no text for a window.

seekdb returns NULL in place of some texts of 6.2 to 6.4 MB, depending on its memory.
"""

from __future__ import annotations

import io
import traceback
from collections.abc import Callable, Sequence
from typing import Any

import fastavro
import httpx
import pytest
from litestar.exceptions import LitestarException

from service.core.backups.backup import stream_table
from service.core.database.statements import Row, Transaction
from service.core.database.transactions import Database
from service.core.errors import DatabaseError
from tests.support.backup_files import JOBS
from tests.support.lists import as_csv, as_lines

ROWS = 1000
JOB = "naïve, 'quoted'"


@pytest.fixture
async def jobs(database: Database) -> list[dict[str, Any]]:
    rows = [{"id": key, "job": f"{JOB} {key % 7}"} for key in range(1, ROWS + 1)]
    async with database.transaction() as transaction:
        await transaction.insert(JOBS.sql["insert_with_id"], [(*row.values(),) for row in rows])
    return rows


@pytest.fixture
def missing(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, Any], None]:
    """The database returns another text for windows and pages of more than so many rows."""
    fetch = Transaction.fetch

    def arrange(most: int, text: Any) -> None:
        async def without_text(self: Transaction, *statement: Any) -> list[Row]:
            found: Sequence[Row] = await fetch(self, *statement)
            if "GROUP_CONCAT" in statement[0] and found[0][0] > most:
                return [(*found[0][:-1], text)]
            return [*found]

        monkeypatch.setattr(Transaction, "fetch", without_text)

    return arrange


@pytest.mark.parametrize("text", [None, "", "1,cut"])
@pytest.mark.parametrize("most", [900, 100, 1])
@pytest.mark.parametrize("query", [{"order": "id"}, {"order": "-job"}, {"job": JOB}])
async def test_a_file_has_all_rows(
    api: httpx.AsyncClient,
    jobs: list[dict[str, Any]],
    missing: Callable[[int, Any], None],
    query: dict[str, str],
    most: int,
    text: Any,
) -> None:
    expected = await as_lines(api, "/jobs", **query)
    assert sorted(row["id"] for row in expected) == [row["id"] for row in jobs]
    missing(most, text)
    assert await as_lines(api, "/jobs", **query) == expected
    assert [row["job"] for row in await as_csv(api, "/jobs", **query)] == [
        row["job"] for row in expected
    ]


async def test_a_file_without_a_row_fails(
    api: httpx.AsyncClient, jobs: list[dict[str, Any]], missing: Callable[[int, Any], None]
) -> None:
    missing(0, None)
    # The server closes the connection before the end of the body.
    with pytest.raises(LitestarException) as caught:
        await as_lines(api, "/jobs")
    assert "counted 1 rows of jobs" in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("most", [900, 100, 1])
async def test_a_backup_has_all_rows(
    api: httpx.AsyncClient,
    jobs: list[dict[str, Any]],
    missing: Callable[[int, Any], None],
    most: int,
) -> None:
    missing(most, None)
    reply = await api.get("/avro/backup/jobs")
    assert [*fastavro.reader(io.BytesIO(reply.content))] == jobs


async def test_a_backup_without_a_row_fails(
    database: Database, jobs: list[dict[str, Any]], missing: Callable[[int, Any], None]
) -> None:
    missing(0, None)
    with pytest.raises(DatabaseError, match="0 values, but it counted 1 rows"):
        async for _ in stream_table(database, JOBS, "null"):
            pass
