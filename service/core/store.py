"""The store: rows and rejects into the database, inside a transaction that is given."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import msgspec
from msgspec import Struct

import sql
from service.core.batch import Batch, Reject, Row
from service.core.database import Transaction
from service.core.errors import DataError
from service.core.fields import Error, explain_id
from service.core.tables import Field, Table, by_name

LOOKUP = 5000
"""Ids in one IN list."""

REJECTS = sql.statements("rejects")


class Origin(Struct, frozen=True):
    """Where rows came from: api, loader or restore; the file or request; a file's fingerprint."""

    source: Literal["api", "loader", "restore"]
    name: str
    fingerprint: str | None = None


def _nothing(_table: Table, _ids: set[int]) -> set[int]:
    return set()


async def check_parents(
    transaction: Transaction,
    batch: Batch,
    coming: Callable[[Table, set[int]], set[int]] = _nothing,
) -> None:
    """Reject the rows whose parents do not exist: one query a parent table.

    Rows that are rejected already are told of missing parents too. `coming`: those of the ids
    that will exist by the time the rows are written.
    """
    errors: dict[int, list[Error]] = {}
    claims = {reject.position: batch.claims(reject.position) for reject in batch.rejects}
    for at, field in batch.table.parents:
        claimed = _claimed(claims, field)
        wanted = {row[at] for row in batch.rows} | set(claimed.values())
        parent = by_name(field.references or "")
        missing = await _missing(transaction, parent, wanted)
        missing -= coming(parent, missing)
        if not missing:
            continue
        for index, row in enumerate(batch.rows):
            if row[at] in missing:
                errors.setdefault(index, []).append(_no_parent(field, row[at]))
        batch.rejects = [
            _with_error(reject, _no_parent(field, claimed[reject.position]))
            if claimed.get(reject.position) in missing
            else reject
            for reject in batch.rejects
        ]
    if errors:
        batch.reject(errors)


def _claimed(claims: dict[int, Any], field: Field) -> dict[int, int]:
    """The parent that each rejected row names, by position, where it is an id at all."""
    return {
        position: said[field.name]
        for position, said in claims.items()
        if isinstance(said, dict) and not any(explain_id(said.get(field.name)))
    }


def _no_parent(field: Field, key: int) -> Error:
    return Error(field.name, "not_found", f"{field.name} {key} is not in {field.references}")


def _with_error(reject: Reject, error: Error) -> Reject:
    return Reject(reject.position, reject.record, [*reject.errors, error])


async def _missing(transaction: Transaction, table: Table, ids: set[int]) -> set[int]:
    """Those of `ids` that the table lacks; most often none, which a count tells."""
    counted = [
        (await transaction.fetch(sql.expand(table.sql["count_existing"], len(part)), part))[0][0]
        for part in parts(sorted(ids))
    ]
    if sum(counted) == len(ids):
        return set()
    return ids - {
        key
        for part in parts(sorted(ids))
        for (key,) in await transaction.fetch(sql.expand(table.sql["existing"], len(part)), part)
    }


async def insert(transaction: Transaction, batch: Batch) -> list[int | None]:
    """Write rows without ids in one statement; their ids by position, None for rejects.

    Where the server refuses a row, each is written by itself and the refused ones are rejected.
    StaleParentError where a parent vanished since the check: run again, that finds it missing.
    """
    ids: list[int | None] = [None] * batch.received
    if not batch.rows:
        return ids
    try:
        first = await transaction.insert(batch.table.sql["insert"], batch.rows)
        keys = range(first, first + len(batch.rows) * transaction.id_step, transaction.id_step)
    except DataError:
        return await _insert_each(transaction, batch, ids)
    if not batch.rejects:
        return list(keys)
    for position, key in zip(batch.positions, keys, strict=True):
        ids[position] = key
    return ids


async def _insert_each(
    transaction: Transaction, batch: Batch, ids: list[int | None]
) -> list[int | None]:
    # The statement that failed undid itself alone: the transaction goes on.
    refused: dict[int, list[Error]] = {}
    for at, (position, row) in enumerate(zip(batch.positions, batch.rows, strict=True)):
        try:
            ids[position] = await transaction.insert(batch.table.sql["insert"], [row])
        except DataError as error:
            refused[at] = [Error(None, "malformed", str(error))]
    batch.reject(refused)
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
