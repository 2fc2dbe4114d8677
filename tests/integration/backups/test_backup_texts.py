"""Backups keep texts that JSON, SQL or Avro might change."""

from __future__ import annotations

import io
from typing import Any

import fastavro

from service.core.backups import backup
from service.core.backups.pages import PAGE
from service.core.database.transactions import Database
from tests.support.backup_files import JOBS, verified

TEXTS = [
    '"quoted"',
    "back\\slash \\n \\u0041",
    "O'Brien",
    "tab is none, a pipe | is",
    "/slash/",
    "50% %s %(x)s",
    "😀" * 255,
    "\u2028\u2029\ufeff\u00ad",
    "שלום عليكم",
    "e\u0301 é",
    "[{}]",
    "\U0010ffff",
]


async def test_texts_come_as_they_are(database: Database) -> None:
    async with database.transaction() as transaction:
        rows = [*enumerate(TEXTS, 1)]
        await transaction.insert(JOBS.sql["insert_with_id"], rows)
    content = b"".join([piece async for piece in backup.stream_table(database, JOBS, "deflate")])
    read: list[Any] = [*fastavro.reader(io.BytesIO(content))]
    assert [row["job"] for row in read] == TEXTS
    assert verified(content).verified


async def test_a_page_of_the_longest_texts_is_not_cut(database: Database) -> None:
    async with database.transaction(60) as transaction:
        rows = [(key, "😀" * 255) for key in range(1, PAGE + 2)]
        await transaction.insert(JOBS.sql["insert_with_id"], rows)
    content = b"".join([piece async for piece in backup.stream_table(database, JOBS, "deflate")])
    assert verified(content).tables[0].rows == PAGE + 1
