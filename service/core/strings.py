"""Judging rows of text: whole columns at once where all is plain, the others field by field.

What is plain is certainly right, and told at a tenth of the time; it says nothing of the rest.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from service.core.fields import (
    MAX_TEXT,
    UNJUDGED,
    Error,
    Instant,
    InstantError,
    Reason,
    explain_id,
    explain_text,
    parse_instant,
)
from service.core.tables import Field

log = logging.getLogger("hirebase.core")

Column = Sequence[str]

# Of the 29ths of February, those of years that end in a multiple of four other than 00.
_INSTANT = (
    r"(?:[1-9][0-9]{3}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])"
    r"|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))"
    r"|[1-9][0-9](?:0[48]|[2468][048]|[13579][26])-02-29)"
    r"T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]Z"
)
_instant = re.compile(_INSTANT).fullmatch
_instants = re.compile(f"(?:{_INSTANT}\n)*+").fullmatch
_number = re.compile(r"[1-9][0-9]{0,8}").fullmatch
_whole_number = re.compile(r"0|-?[1-9][0-9]{0,99}").fullmatch


@dataclass(frozen=True)
class Judged:
    """Rows of text: those that are right, where they stood, and why the others are not."""

    rows: list[tuple[Any, ...]]
    positions: Sequence[int]
    errors: dict[int, list[Error]]
    _parents: dict[str, Sequence[Any]]

    def parents(self, position: int) -> dict[str, int]:
        """The parents that a row names, by field, wherever it says a number."""
        named = ((name, column[position]) for name, column in self._parents.items())
        return {name: value for name, value in named if value is not None}


def judge(
    fields: Sequence[Field], records: Sequence[Sequence[str]], *, assume_utc: bool = False
) -> Judged:
    """Every rule that is broken, row by row: an empty field counts as missing."""
    try:
        return _judge(fields, records, assume_utc=assume_utc)
    except Exception:  # whatever it is: it must not take the other rows with it
        log.exception("rows of text could not be judged together: each is judged by itself")
    alone = [_judge_alone(fields, record, assume_utc=assume_utc) for record in records]
    return Judged(
        [row for one in alone for row in one.rows],
        [at for at, one in enumerate(alone) if one.rows],
        {at: one.errors[0] for at, one in enumerate(alone) if one.errors},
        {
            field.name: [one.parents(0).get(field.name) for one in alone]
            for field in fields
            if field.references
        },
    )


def _judge_alone(fields: Sequence[Field], record: Sequence[str], *, assume_utc: bool) -> Judged:
    try:
        return _judge(fields, [record], assume_utc=assume_utc)
    except Exception:  # whatever it is: the row is a reject, not the end of a load
        log.exception("a row of text could not be judged")
        return Judged([], [], {0: [UNJUDGED]}, {})


def _judge(
    fields: Sequence[Field], records: Sequence[Sequence[str]], *, assume_utc: bool
) -> Judged:
    width = len(fields)
    errors = {
        at: [Error(None, "malformed", f"has {len(record)} fields, not {width}")]
        for at, record in enumerate(records)
        if len(record) != width
    }
    if errors:
        empty = ("",) * width
        records = [empty if at in errors else record for at, record in enumerate(records)]
    odd, columns = set(errors), []
    # Without records there are no columns to go with the fields.
    for field, column in zip(fields, zip(*records, strict=True), strict=bool(records)):
        values = _WHOLE[field.type](column)
        if values is None:
            values = list(map(_EACH[field.type], column))
            doubtful = [at for at, value in enumerate(values) if value is None and at not in odd]
            for at in doubtful:
                values[at], reasons = _judged(field, column[at], assume_utc=assume_utc)
                if found := field.errors(reasons):
                    errors.setdefault(at, []).extend(found)
        columns.append(values)
    rows = list(zip(*columns, strict=True))
    positions: Sequence[int] = range(len(records))
    if errors:
        positions = [at for at in positions if at not in errors]
        rows = [rows[at] for at in positions]
    parents = zip(fields, columns, strict=bool(records))
    return Judged(
        rows, positions, errors, {field.name: said for field, said in parents if field.references}
    )


def _judged(field: Field, text: str, *, assume_utc: bool) -> tuple[Any, Iterable[Reason]]:
    """What a text means in a field, and why it cannot stand there."""
    if not text:
        return None, [("missing", "is missing")]
    if field.type is str:
        return text, explain_text(text)
    if field.type is int:
        if not _whole_number(text):
            return None, [("type", f"must be a whole number in plain digits, not {text[:40]!r}")]
        return int(text), explain_id(int(text))
    try:
        return parse_instant(text, assume_utc=assume_utc), []
    except InstantError as error:
        return None, [(error.code, str(error))]


def _numbers(column: Column) -> Sequence[int] | None:
    texts = set(column)
    digits = "".join(texts)
    plain = digits.isascii() and digits.isdecimal() and min(texts) >= "1"
    if not plain or max(map(len, texts)) > 9:
        return None
    if len(texts) * 2 > len(column):
        return list(map(int, column))
    values = {text: int(text) for text in texts}
    return [values[text] for text in column]


def _texts(column: Column) -> Column | None:
    # Printable text has no control character, and of all spaces only U+0020.
    plain = "".join(column).isprintable() and min(column) > "!"
    return column if plain and max(map(len, column)) <= MAX_TEXT else None


def _moments(column: Column) -> Column | None:
    lines = "\n".join(column) + "\n"
    if not _instants(lines):
        return None
    moments = lines[:-1].replace("Z", "").split("\n")
    # A text with a line break in it may be two moments.
    return moments if len(moments) == len(column) else None


def _one_number(text: str) -> int | None:
    return int(text) if _number(text) else None


def _one_text(text: str) -> str | None:
    return text if text.isprintable() and text > "!" and len(text) <= MAX_TEXT else None


def _one_moment(text: str) -> str | None:
    return text[:-1] if _instant(text) else None


_WHOLE: dict[type, Callable[[Column], Sequence[Any] | None]] = {
    int: _numbers,
    str: _texts,
    Instant: _moments,
}
_EACH: dict[type, Callable[[str], Any]] = {
    int: _one_number,
    str: _one_text,
    Instant: _one_moment,
}
