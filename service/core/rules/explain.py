"""The errors of a row: every rule that it breaks, not only the first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from service.core.rules.fields import Error
from service.core.tables import Field

MAX_UNKNOWN_FIELDS = 20
"""Unknown fields of a row that get an error each; one more error counts the others."""


def explain(fields: Iterable[Field], record: object) -> list[Error]:
    """Every rule that an object breaks: fields that are missing, unknown or have a wrong value."""
    if not isinstance(record, dict):
        return [Error(None, "type", "a row must be an object")]
    names = {field.name: field for field in fields}
    errors = list(_unknown_fields(record, names))
    for name, field in names.items():
        if name in record:
            errors += field.explain(record[name])
        elif not field.optional:
            errors.append(Error(name, "missing", f"{name} is missing"))
    return errors


def _unknown_fields(record: dict[Any, Any], names: dict[str, Field]) -> Iterator[Error]:
    unknown = [name for name in record if name not in names]
    for name in unknown[:MAX_UNKNOWN_FIELDS]:
        text = _printable(name)
        yield Error(text, "unknown_field", _unknown(text, names))
    if len(unknown) > MAX_UNKNOWN_FIELDS:
        rest = len(unknown) - MAX_UNKNOWN_FIELDS
        yield Error(None, "unknown_field", f"{rest} more fields are not in this table")


def _printable(name: object) -> str:
    """A name as text. In MessagePack it has any type, in JSON it may have half a surrogate pair."""
    text = name if isinstance(name, str) else repr(name)
    return text.encode(errors="backslashreplace").decode()


def _unknown(name: str, names: dict[str, Field]) -> str:
    if name == "id":
        return "id is generated: leave it out"
    return f"{name[:40]!r} is not a field of this table, which has {', '.join(names)}"
