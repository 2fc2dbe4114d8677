"""Saying what is wrong with a row: every rule it breaks, not the first."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from service.core.columns import is_certain
from service.core.fields import EXPLAIN, Error, Reasons, explain_id
from service.core.tables import Field

Hook = Callable[[type, object], Any]
UNKNOWN_TOLD = 20
"""Unknown fields that are told one by one; of a row with more, the others are counted."""

_whole_number = re.compile(r"0|-?[1-9][0-9]{0,99}").fullmatch


def explain(fields: Iterable[Field], record: object) -> list[Error]:
    """Every rule that an object breaks: fields missing, unknown, or with a value that cannot be."""
    if not isinstance(record, dict):
        return [Error(None, "type", "a row must be an object")]
    names = {field.name: field for field in fields}
    errors = list(_unknown_fields(record, names))
    for name, known in names.items():
        if name in record:
            errors += known.explain(record[name], EXPLAIN[known.type])
        else:
            errors.append(Error(name, "missing", f"{name} is missing"))
    return errors


def explain_strings(fields: Sequence[Field], record: Sequence[str], hook: Hook) -> list[Error]:
    """Every rule that a line breaks: an empty field counts as missing."""
    if len(record) != len(fields):
        return [Error(None, "malformed", f"has {len(record)} fields, not {len(fields)}")]
    errors: list[Error] = []
    for known, text in zip(fields, record, strict=True):
        if is_certain(known, text):
            continue
        if text:
            errors += known.explain(_from_text(known, text, hook), _reasons(known))
        else:
            errors.append(Error(known.name, "missing", f"{known.name} is missing"))
    return errors


def strings_object(fields: Sequence[Field], record: Sequence[str]) -> dict[str, object]:
    """What a line says by field, numbers as numbers; nothing if it has too few or too many."""
    if len(record) != len(fields):
        return {}
    return {
        known.name: int(text) if known.type is int and _whole_number(text) else text
        for known, text in zip(fields, record, strict=True)
    }


def _unknown_fields(record: dict[Any, Any], names: dict[str, Field]) -> Iterator[Error]:
    unknown = [name for name in record if name not in names]
    for name in unknown[:UNKNOWN_TOLD]:
        text = _printable(name)
        yield Error(text, "unknown_field", _unknown(text, names))
    if len(unknown) > UNKNOWN_TOLD:
        rest = len(unknown) - UNKNOWN_TOLD
        yield Error(None, "unknown_field", f"{rest} more fields are none of this table")


def _printable(name: object) -> str:
    """MessagePack's keys are of any type; JSON's may hold halves of surrogate pairs."""
    text = name if isinstance(name, str) else repr(name)
    return text.encode(errors="backslashreplace").decode()


def _unknown(name: str, names: dict[str, Field]) -> str:
    if name == "id":
        return "id is generated: leave it out"
    return f"{name[:40]!r} is no field of this table, which has {', '.join(names)}"


def _from_text(known: Field, text: str, hook: Hook) -> object:
    if known.type is int:
        return int(text) if _whole_number(text) else text
    if known.type is str:
        return text
    try:
        return hook(known.type, text)
    except ValueError:
        return text


def _reasons(known: Field) -> Callable[[object], Reasons]:
    return _explain_number if known.type is int else EXPLAIN[known.type]


def _explain_number(value: object) -> Reasons:
    if isinstance(value, str):
        yield "type", f"must be a whole number in plain digits, not {value[:40]!r}"
    else:
        yield from explain_id(value)
