"""One rule for the same fault: corrects the rejects of a file that have the same wrong value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import msgspec
from msgspec import Struct

from service.core.database.statements import Transaction, fetch_among
from service.core.errors import MalformedError
from service.core.rules.batch import Batch, Records, from_texts, validate_each
from service.core.rules.fields import MAX_LONG, Code, Error
from service.core.rules.raw_json import decode_body, exact_text, input_text, json_text
from service.core.tables import Field, Table, by_path
from service.core.writes.corrections.outcomes import SQL, close, write_corrected
from service.core.writes.corrections.records import fields_of
from service.core.writes.merge import decide, find_among
from service.core.writes.parents import check_parents
from service.core.writes.rejects import end_of_page

MATCHED = 500
"""The most rejects that one call corrects."""
FETCHED = 500
LONGEST = 4096
"""The most characters of a record. Longer records are skipped."""

Fields = dict[str, Any]
_errors = msgspec.json.Decoder(list[Error])


class Rule(Struct, forbid_unknown_fields=True, frozen=True, rename={"from_": "from"}):
    """Which open rejects, the value that is wrong in them, and the right value.

    table: its path; after: only rejects with a larger id.
    """

    table: str
    source: Literal["api", "loader"]
    origin: str
    field: str
    code: Code
    from_: Any
    to: Any
    after: int = 0


class StillWrong(Struct):
    """A reject that the rule does not correct, and the errors that it would have."""

    reject: int
    errors: list[Error]


class Corrected(Struct):
    """What a rule did. next: continue after this reject; None if no reject is left."""

    matched: int
    corrected: int
    failed: int
    failures: list[StillWrong]
    next: int | None


def rule_of(body: bytes) -> Rule:
    """The rule in a body; MalformedError."""
    return decode_body(body, Rule, "a rule")


async def correct_all(
    transaction: Transaction, rule: Rule, user: str, *, dry_run: bool = False
) -> Corrected:
    """Correct the rejects that match, each by the rules of new rows and exactly once."""
    table = by_path(rule.table)
    field = _field(table, rule)
    found, following = await _matching(transaction, table, rule)
    if not dry_run:
        found = await _locked(transaction, found)
    batch, keys = _batch(table, rule, field, list(found.values())), list(found)
    await check_parents(transaction, batch)
    if not dry_run:
        rows = await write_corrected(transaction, batch)
        await close(transaction, user, {keys[at]: row_id for at, row_id in rows.items()})
    elif rule.source == "loader":
        old = await find_among(transaction, table, [row[0] for row in batch.rows])
        batch.reject(decide(batch.rows, old, "reject").refused)
    failures = [StillWrong(keys[one.position], one.errors) for one in batch.rejects]
    corrected = len(found) - len(failures)
    return Corrected(len(found), corrected, len(failures), failures, following)


def _field(table: Table, rule: Rule) -> Field:
    fields = table.stored_fields if rule.source == "loader" else table.fields
    for field in fields:
        if field.name == rule.field:
            return field
    names = ", ".join(field.name for field in fields)
    raise MalformedError(f"{rule.field[:40]!r} is not a field that a rule corrects: {names}.")


async def _matching(
    transaction: Transaction, table: Table, rule: Rule
) -> tuple[dict[int, Fields], int | None]:
    """The fields of the open rejects with the fault by id, and the id to continue after."""
    fault = json_text({"field": rule.field, "code": rule.code})
    chosen = (table.name, rule.source, rule.origin, fault, LONGEST)
    end = await end_of_page(transaction.fetch, table.name, rule.after)
    last = MAX_LONG if end is None else end
    found: dict[int, Fields] = {}
    after, more = rule.after, True
    while more:
        rows = await transaction.fetch(SQL["of_fault"], (after, last, *chosen, FETCHED))
        for after, record, errors, layout in rows:
            fields = fields_of(table, rule.source, record, layout)
            if fields is not None and _has_value(rule, fields.get(rule.field)):
                found[after] = _typed(table, rule, fields, errors)
            if len(found) == MATCHED:
                return found, after
        more = len(rows) == FETCHED
    return found, end


def _has_value(rule: Rule, value: Any) -> bool:
    if rule.source == "loader":
        return bool(value == input_text(rule.from_))
    # As JSON, because 1 and true are equal in Python.
    return exact_text(value) == exact_text(rule.from_)


def _typed(table: Table, rule: Rule, fields: Fields, errors: str) -> Fields:
    """The fields of a record. A text that was validated as CSV becomes a value.

    The console validates a CSV without ids as texts. A record is from such a file if a field has a
    text that JSON does not allow there, and the field has no error.
    """
    if rule.source == "loader":
        return fields
    bad = {error.field for error in _errors.decode(errors)}
    for field in table.fields:
        text = fields.get(field.name)
        if isinstance(text, str) and field.name not in bad and isinstance(field.kind.avro, str):
            value, reasons = field.kind.read(text)
            fields[field.name] = text if list(reasons) else value
    return fields


async def _locked(transaction: Transaction, found: dict[int, Fields]) -> dict[int, Fields]:
    """The rejects that are still open. They are locked until the transaction ends."""
    locked = await fetch_among(transaction.fetch, SQL["locked_among"], found)
    closed = await fetch_among(transaction.fetch, SQL["closed_among"], found)
    still_open = {key for (key,) in locked} - {key for key, _ in closed}
    return {key: fields for key, fields in found.items() if key in still_open}


def _batch(table: Table, rule: Rule, field: Field, records: Sequence[Fields]) -> Batch:
    """The records with the right value, validated as before, but without `--assume-utc`."""
    if rule.source == "loader":
        texts = [[*({**one, field.name: input_text(rule.to)}).values()] for one in records]
        return from_texts(table, texts)
    objects = [{**one, field.name: rule.to} for one in records]
    records_sent = Records(lambda: objects)
    return validate_each(table, table.fields, table.row, records_sent, lambda record: record)
