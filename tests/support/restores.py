"""Tables to back up and to restore into."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import Awaitable, Callable
from typing import Any

from httpx import AsyncClient as Client

import sql
from service.core.backups.restore import restore
from service.core.backups.staged import choice
from service.core.database.transactions import Database
from service.core.progress import Step
from service.core.rules.avro_records import validate
from service.core.tables import Table
from tests.support.backup_files import DEPARTMENTS, EMPLOYEES, JOBS, avro_file, records, zip_file

OURS = {*sql.statements("schema")}
"""The tables of the program."""
COUNTS = ((DEPARTMENTS, 3), (JOBS, 5), (EMPLOYEES, 30))
Point = tuple[str, float]
"""A step of a restore, and the share of its rows that are done."""
POINTS: list[Point] = [("create", 0), ("guard", 0)]
POINTS += [("fill", at / 12) for at in range(12)]
POINTS += [(f"{step} employees", 0) for step in ("index", "verify", "compare")]
POINTS += [("references", 0), ("swap", 0), ("finish", 0)]


def make_small(put: Callable[[Any, str, int], None] = setattr) -> None:
    """Stage restores of more than a few rows, in several chunks; put: how a value is set."""
    put(choice, "LARGE_ROWS", 20)
    put(choice, "CHUNK_ROWS", 10)
    put(choice, "EMBEDDED_CHUNK_ROWS", 10)


async def fill(database: Database) -> None:
    """Fill each table with its number of rows."""
    async with database.transaction() as transaction:
        for table, count in COUNTS:
            rows = validate(table, records(table, count)).rows
            await transaction.insert(table.sql["insert_with_id"], rows)


async def put(
    database: Database, *files: tuple[Table, list[dict[str, Any]]], steps: list[str] | None = None
) -> Any:
    """Restore rows; steps: gets the names of the steps."""

    def follow(step: Step) -> None:
        if steps is not None and step.name not in steps:
            steps.append(step.name)

    sources = [(table, io.BytesIO(avro_file(table, rows))) for table, rows in files]
    return await restore(database, sources, "replace", progress=follow)


async def contents(database: Database) -> dict[str, Any]:
    """All rows by table."""
    return {
        table.name: await database.fetch(f"SELECT * FROM {table.name} ORDER BY id")
        for table, _ in COUNTS
    }


async def left(database: Database) -> set[str]:
    """The tables that restores made and did not remove."""
    names = {name for (name,) in await database.fetch("SHOW TABLES")}
    return {name for name in names if name.startswith(("restore_", "replaced_"))}


async def post(client: Client, path: str, content: bytes) -> Any:
    """The reply to a file."""
    return await client.post(f"/avro/{path}", content=content)


def archive(*counts: tuple[Table, int]) -> bytes:
    """A ZIP with a number of rows of each table."""
    return zip_file({table: avro_file(table, records(table, count)) for table, count in counts})


class KillAt:
    """Follows a staged restore, and kills a server once, at a point."""

    def __init__(self, point: Point, kill: Callable[[], Awaitable[None]]):
        self._step, self._share = point
        self._kill, self._killing = kill, list[asyncio.Task[float]]()

    def __call__(self, step: Step) -> None:
        """Take a report of the restore."""
        reached = step.name == self._step and step.rows >= self._share * step.total
        if reached and not self._killing:
            self._killing.append(asyncio.create_task(self._killed()))

    async def moment(self) -> float:
        """When the server was dead."""
        (moment,) = await asyncio.gather(*self._killing)
        return moment

    async def _killed(self) -> float:
        await self._kill()
        return time.monotonic()
