"""The fields of rejected records, read from their text in the log."""

from __future__ import annotations

import csv
import io
from typing import Any

from service.core.rules.raw_json import decode_value
from service.core.tables import Table

DELIMITERS = (",", ";", "\t", "|")


def fields_of(table: Table, source: str, record: str) -> dict[str, Any] | None:
    """The values of a record by field, as they were sent: texts if it came from a file with ids.

    None if the record has no fields: another number of them, broken JSON, or no object.
    """
    if source == "loader":
        texts = cells_of(record, len(table.columns))
        return dict(zip(table.columns, texts, strict=True)) if texts else None
    try:
        value = decode_value(record.encode())
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def cells_of(record: str, width: int) -> list[str]:
    """The fields of a line of CSV without spaces around them; empty if it has not `width`."""
    for delimiter in DELIMITERS:
        try:
            rows = list(csv.reader(io.StringIO(record, newline=""), delimiter=delimiter))
        except csv.Error:
            continue
        if len(rows) == 1 and len(rows[0]) == width:
            return [cell.strip(" \t") for cell in rows[0]]
    return []
