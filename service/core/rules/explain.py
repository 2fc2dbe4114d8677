"""Saying what is wrong with a row: every rule it breaks, not the first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from service.core.rules.fields import Error
from service.core.tables import Field

UNKNOWN_TOLD = 20
"""Unknown fields that are told one by one; of a row with more, the others are counted."""


def explain(fields: Iterable[Field], record: object) -> list[Error]:
    """Every rule that an object breaks: fields missing, unknown, or with a value that cannot be."""
    if not isinstance(record, dict):
        return [Error(None, "type", "a row must be an object")]
    names = {field.name: field for field in fields}
    errors = list(_unknown_fields(record, names))
    for name, known in names.items():
        if name in record:
            errors += known.explain(record[name])
        elif not known.optional:
            errors.append(Error(name, "missing", f"{name} is missing"))
    return errors


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
