"""Detects the table that a file belongs to: by the name of the file, or by its header."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from loader.reading.layout import KEY, REASONS
from service.core.tables import ID, TABLES, Table


def by_file_name(name: str) -> Table | None:
    """The table that a file is named after: `jobs.csv`, `jobs.rejects.csv`, `employees.csv.gz`."""
    stem = Path(name).name.split(".", 1)[0]
    return next((table for table in TABLES if stem in (table.name, table.path)), None)


def by_header(names: Sequence[str]) -> Table | None:
    """The table whose columns a header names, each once; the id and the reasons may be missing."""
    given = [name.strip().lower() for name in names]
    own = [name for name in given if name not in (ID.name, *REASONS, KEY)]
    return next((table for table in TABLES if sorted(own) == _columns(table)), None)


def _columns(table: Table) -> list[str]:
    return sorted(field.name for field in table.fields)
