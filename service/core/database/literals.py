"""SQL literals of many values: rendered column by column, in a tenth of the time of one by one."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import repeat
from types import NoneType
from typing import Any

from pymysql.converters import escape_string

SPECIAL = "\\\0\n\r\x1a\"'"
"""The characters that pymysql escapes in a string; first the one that the others get."""
ESCAPES = [(character, escape_string(character)) for character in SPECIAL]

UNQUOTED = {int, bool}
"""Types whose text is the same in Python and SQL; SQL keywords have no case."""

Column = Sequence[Any]

_special = re.compile(f"[{re.escape(SPECIAL)}]").search


def render(
    values: str,
    rows: Sequence[tuple[Any, ...]],
    escape: Callable[[str], str],
    first: str | None = None,
) -> bytes | None:
    """Render rows as `(…),(…)`; None if `_literals` does not support the type of a value.

    first: the format of the first row, if it is not `values`.
    """
    columns = list(zip(*rows, strict=True))
    formats: list[str] = []
    parameters: list[Any] = [None] * (len(rows) * len(columns))
    for at, column in enumerate(columns):
        literals = _literals(column, escape)
        if literals is None:
            return None
        formats.append(literals[0])
        parameters[at :: len(columns)] = literals[1]
    row, first_row = values % tuple(formats), (first or values) % tuple(formats)
    # Formatting all rows at once creates no text for each row.
    whole = ",".join([first_row, *repeat(row, len(rows) - 1)])
    return (whole % tuple(parameters)).encode()


def _literals(column: Column, escape: Callable[[str], str]) -> tuple[str, Column] | None:
    """(format, values) of a column of numbers, booleans or texts, with or without NULLs."""
    types = set(map(type, column))
    value_types = types - {NoneType}
    unquoted = value_types <= UNQUOTED
    if not unquoted and not all(issubclass(one, str) for one in value_types):
        return None
    if NoneType not in types:
        return ("%s", column) if unquoted else ("'%s'", _escaped(column, escape))
    values = [value for value in column if value is not None]
    literals = iter(values if unquoted else [f"'{text}'" for text in _escaped(values, escape)])
    return "%s", ["NULL" if value is None else next(literals) for value in column]


def _escaped(column: Column, escape: Callable[[str], str]) -> Column:
    if not _has_special("".join(column)):
        return column
    # Texts repeat, above all the errors of rejects, so each one is escaped once.
    texts = {text: escape(text) if _special(text) else text for text in set(column)}
    return [texts[text] for text in column]


def _has_special(text: str) -> bool:
    # In a long text, one search for each character is ten times as fast as a regular expression.
    return any(character in text for character in SPECIAL)
