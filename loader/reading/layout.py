"""How a file is laid out: its delimiter, whether it has a header, which column is where."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import itemgetter

from service.core.errors import InputError
from service.core.tables import Table

REASONS = ("line", "errors")
"""The first columns of a rejects file; they are no part of the record."""

Record = Sequence[str]


@dataclass(frozen=True)
class CsvLayout:
    """The columns of a file in their order, and the order that the table wants.

    `lead`: how many fields before them are no part of a row; `header`: the first record names them.
    """

    columns: tuple[str, ...]
    wanted: tuple[str, ...]
    delimiter: str = ","
    lead: int = 0
    header: bool = False

    @property
    def width(self) -> int:
        """How many fields a record has."""
        return self.lead + len(self.columns)

    def arrange(self, records: list[Record]) -> list[Record]:
        """The same records, fields in the table's order; those of another length as they are."""
        if self.lead == 0 and self.columns == self.wanted:
            return records
        width = self.width
        pick = itemgetter(*(self.lead + self.columns.index(name) for name in self.wanted))
        return [pick(record) if len(record) == width else record[self.lead :] for record in records]

    def original(self, text: str) -> str:
        """A record's text without what a rejects file put before it."""
        match = self._before.match(text) if self.lead else None
        return text[match.end() :] if match else text

    @cached_property
    def _before(self) -> re.Pattern[str]:
        field = rf'(?:[ \t]*"[^"]*(?:""[^"]*)*"[ \t]*|[^{re.escape(self.delimiter)}\n]*)'
        return re.compile(f"(?:{field}{re.escape(self.delimiter)}){{{self.lead}}}")


def layout_of(table: Table, first: Record, delimiter: str) -> CsvLayout:
    """The layout that a file's first record tells; InputError for a header that does not fit."""
    names = tuple(field.strip().lower() for field in first)
    if "id" not in names or any(name.isdecimal() for name in names):
        return CsvLayout(table.columns, table.columns, delimiter)
    lead = len(REASONS) if names[: len(REASONS)] == REASONS else 0
    _check(table, names[lead:])
    return CsvLayout(names[lead:], table.columns, delimiter, lead, header=True)


def _check(table: Table, names: tuple[str, ...]) -> None:
    faults = {
        "lacks": [name for name in table.columns if name not in names],
        "has the unknown column": [name for name in names if name not in table.columns],
        "has twice": [name for at, name in enumerate(names) if name in names[:at]],
    }
    for fault, columns in faults.items():
        if columns:
            raise InputError(
                f"The header of the file for {table.name} {fault} {', '.join(map(repr, columns))}; "
                f"its columns are {', '.join(table.columns)}."
            )
