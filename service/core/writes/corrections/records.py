"""The fields of rejected records, read from their text in the log."""

from __future__ import annotations

import csv
import io
import re
from typing import Any

import msgspec

from service.core.rules.raw_json import decode_value
from service.core.tables import Table

_delimiter = re.compile(r"\W").search
_tab_and_quote = re.compile(r" *+\t[ \t]*+\"").match


def fields_of(
    table: Table, source: str, record: str, layout: str | None = None
) -> dict[str, Any] | None:
    """The values of a record by field, as they were sent: texts if it came from a file with ids.

    None if the record has no fields: another number of them, broken JSON, no object, or half of a
    surrogate pair in it.
    layout: the header of its file, if it is not the usual one.
    """
    if source == "loader":
        names, cells = _names_and_cells(table, record, layout)
        by_name = dict(zip(names, cells, strict=False))
        whole = len(cells) == len(names)
        return {name: by_name[name] for name in table.columns} if whole else None
    try:
        value = decode_value(record.encode())
        # Half of a surrogate pair has no encoding: the record is shown as the text that was sent.
        msgspec.json.encode(value)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def first_fields(table: Table, record: str, layout: str | None = None) -> dict[str, str]:
    """The first fields of a line of CSV that has too few or too many."""
    return dict(zip(*_names_and_cells(table, record, layout), strict=False))


def _names_and_cells(table: Table, record: str, layout: str | None) -> tuple[list[str], list[str]]:
    """The names of the columns, and the fields without spaces around them; none if malformed."""
    header = layout or ",".join(table.columns)
    found = _delimiter(header)
    delimiter = found[0] if found else ","
    text = io.StringIO(record, newline="")
    try:
        rows = list(csv.reader(text, delimiter=delimiter, skipinitialspace=True, strict=True))
    except csv.Error:
        rows = []
    cells = [cell.strip(" \t") for cell in rows[0]] if len(rows) == 1 else []
    # The loader takes a quote after a tab as the beginning of a field, and csv does not.
    if any(_tab_and_quote(cell) for row in rows for cell in row):
        cells = []
    return header.split(delimiter), cells
