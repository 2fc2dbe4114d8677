"""Closes rejects: a corrected record is inserted exactly once, or the reject is dismissed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import msgspec
from msgspec import Raw, Struct

import sql
from service.core.database.replication.limits import Fetch
from service.core.database.statements import Transaction
from service.core.errors import ClosedRejectError, MalformedError, RowsRefused
from service.core.rules.batch import Batch, from_json, from_records
from service.core.rules.fields import Code
from service.core.rules.raw_json import decode_value
from service.core.rules.reject import Reject
from service.core.tables import Table, by_name
from service.core.writes.insert import insert
from service.core.writes.merge import put
from service.core.writes.parents import check_parents
from service.core.writes.rejects import find_reject

SQL = sql.statements("reject_outcomes")
CODES: tuple[Code, ...] = get_args(Code)
"""In the order of the statement of the summary."""
LONGEST_REASON = 1000
LOOKED_AT = 100_000
"""The latest rejects, open or closed, among which open ones are counted by code."""
_codes = msgspec.json.Decoder(set[str])


class Outcome(Struct):
    """What became of a reject. id: of the row that was inserted."""

    reject: int
    state: Literal["corrected", "dismissed"]
    closed_by: str
    reason: str = ""
    table: str | None = None
    id: int | None = None


class OpenRejects(Struct):
    """How many open rejects of a table, a source and a day have a code."""

    table: str
    source: str
    day: str
    code: str
    rejects: int


class Summary(Struct):
    """The open rejects, and how many have each code. A reject with two codes counts in two rows."""

    open: int
    rows: list[OpenRejects]


async def correct(transaction: Transaction, key: int, body: bytes, user: str) -> Outcome:
    """Insert the corrected record of a reject, and close it.

    NotFoundError, ClosedRejectError, or RowsRefused with what is still wrong.
    """
    source, table = await _locked(transaction, key)
    batch = _batch(table, body, with_id=source != "api")
    await check_parents(transaction, batch)
    _refuse(batch, body)
    rows = await write_corrected(transaction, batch)
    _refuse(batch, body)
    await close(transaction, user, {key: rows[0]})
    return Outcome(key, "corrected", user, table=table.name, id=rows[0])


async def dismiss(transaction: Transaction, key: int, reason: str, user: str) -> Outcome:
    """Close a reject without a row; NotFoundError, ClosedRejectError."""
    await _locked(transaction, key)
    await transaction.execute(SQL["insert"], (key, "dismissed", user, reason, None))
    return Outcome(key, "dismissed", user, reason)


async def reject_of(fetch: Fetch, table: Table, row_id: int) -> int | None:
    """The last reject whose correction made a row."""
    found = await fetch(SQL["of_row"], (row_id, table.name))
    return int(found[0][0]) if found else None


async def summary(fetch: Fetch) -> Summary:
    """The open rejects by table, source, day and code."""
    groups = await fetch(SQL["summary"])
    rows = [
        OpenRejects(table, source, day, code, int(count))
        for table, source, day, _, *counts in groups
        for code, count in zip(CODES, counts, strict=True)
        if int(count)  # a sum is a decimal, which the driver returns as text
    ]
    return Summary(sum(group[3] for group in groups), rows)


async def count_by_code(fetch: Fetch, chosen: Sequence[str | None], limit: int) -> dict[str, int]:
    """How many open rejects have each code, among the LOOKED_AT latest rejects; "" counts all.

    chosen: the table, the source and the origin, None for any; limit: the most that are counted.
    """
    pairs = [value for value in chosen for _ in range(2)]
    counts: Counter[str] = Counter({"": 0})
    for codes, rejects in await fetch(SQL["count_by_code"], (LOOKED_AT, *pairs, limit)):
        # A reject may have a code twice, but counts once.
        for code in ("", *_codes.decode(codes or "[]")):
            counts[code] += rejects
    return {code: counts[code] for code in ("", *CODES) if counts[code] or not code}


async def _locked(transaction: Transaction, key: int) -> tuple[str, Table]:
    """(source, table) of an open reject. It is locked, so that it is closed only once."""
    source, table = await find_reject(transaction.fetch, SQL["locked"], key)
    for state, when, user in await transaction.fetch(SQL["find"], (key,)):
        raise ClosedRejectError(f"Reject {key} was {state} by {user} at {when}Z.")
    return source, by_name(table)


def _batch(table: Table, body: bytes, *, with_id: bool) -> Batch:
    """A batch of one record. It keeps its id if it has one and is from a file."""
    if with_id and body.lstrip()[:1] == b"{":
        try:
            record: Any = decode_value(body)
        except ValueError as error:
            raise MalformedError(f"The body is not valid JSON: {error}") from None
        if isinstance(record, dict) and "id" in record:
            return from_records(table, [record])
    batch = from_json(table, body)
    if batch.received != 1:
        raise MalformedError(f"The body has {batch.received} records. Send the corrected one.")
    return batch


def _refuse(batch: Batch, body: bytes) -> None:
    """RowsRefused if the record breaks a rule."""
    for reject in batch.rejects:
        # A decoded record may have texts that cannot be encoded, so it is shown as it was sent.
        sent = Raw(body) if isinstance(reject.record, dict) else reject.record
        message = f"The record still breaks a rule: {reject.reasons}. Nothing was changed."
        raise RowsRefused(message, [Reject(0, sent, reject.errors)])


async def write_corrected(transaction: Transaction, batch: Batch) -> dict[int, int | None]:
    """Insert corrected records, with their ids if they have some; the ids of the rows by position.

    A row becomes a reject of the batch if the server refuses it, or if its id is taken.
    """
    if batch.rows and len(batch.rows[0]) == len(batch.table.columns):
        await put(transaction, batch, "reject")
        return {at: row[0] for at, row in zip(batch.positions, batch.rows, strict=True)}
    ids = await insert(transaction, batch)
    return {at: ids[at] for at in batch.positions}


async def close(transaction: Transaction, user: str, rows: Mapping[int, int | None]) -> None:
    """Close rejects as corrected; rows: the id of the row of each reject by its number."""
    if rows:
        outcomes = [(number, "corrected", user, "", row_id) for number, row_id in rows.items()]
        await transaction.insert(SQL["insert"], outcomes)
