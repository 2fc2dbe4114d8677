"""The store: rows and rejects into the database, inside a transaction that is given."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

import msgspec
from msgspec import Struct

import sql
from service.core.batch import Batch, Reject, Row
from service.core.database import Transaction
from service.core.fields import Error
from service.core.tables import Table, by_name

LOOKUP = 5000
"""Ids in one IN list."""

REJECTS = sql.statements("rejects")


class Origin(Struct, frozen=True):
    """Where rows came from: api, loader or restore; the file or request; a file's fingerprint."""

    source: Literal["api", "loader", "restore"]
    name: str
    fingerprint: str | None = None


async def check_parents(transaction: Transaction, batch: Batch) -> None:
    """Reject the rows whose parents do not exist: one query a parent table."""
    errors: dict[int, list[Error]] = {}
    for at, field in batch.table.parents:
        wanted = {row[at] for row in batch.rows}
        missing = wanted - await existing(transaction, by_name(field.references or ""), wanted)
        for index, row in enumerate(batch.rows if missing else ()):
            if row[at] in missing:
                message = f"{field.name} {row[at]} is not in {field.references}"
                errors.setdefault(index, []).append(Error(field.name, "not_found", message))
    if errors:
        batch.reject(errors)


async def existing(transaction: Transaction, table: Table, ids: Iterable[int]) -> set[int]:
    """Those of `ids` that the table has."""
    return {
        key
        for part in parts(sorted(ids))
        for (key,) in await transaction.fetch(sql.expand(table.sql["existing"], len(part)), part)
    }


async def insert(transaction: Transaction, batch: Batch) -> list[int | None]:
    """Write rows without ids in one statement; their ids by position, None for rejects."""
    ids: list[int | None] = [None] * batch.received
    if batch.rows:
        first = await transaction.insert(batch.table.sql["insert"], batch.rows)
        for at, position in enumerate(batch.positions):
            ids[position] = first + at * transaction.id_step
    return ids


async def log_rejects(
    transaction: Transaction, table: Table, rejects: Sequence[Reject], origin: Origin
) -> None:
    """Keep what was not inserted; a file's record is kept once."""
    if rejects:
        await transaction.insert(
            REJECTS["insert"], [_reject_row(table, reject, origin) for reject in rejects]
        )


def _reject_row(table: Table, reject: Reject, origin: Origin) -> Row:
    record = reject.record
    text = record if isinstance(record, str) else msgspec.json.encode(record).decode()
    errors = msgspec.json.encode(reject.errors).decode()
    name = origin.name[:255]
    return (
        origin.source,
        name,
        origin.fingerprint,
        table.name,
        reject.position,
        text,
        errors,
    )


def parts(ids: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """Ids in lists short enough for a query."""
    for start in range(0, len(ids), LOOKUP):
        yield ids[start : start + LOOKUP]
