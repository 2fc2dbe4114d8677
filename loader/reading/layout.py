"""The layout of a file: its delimiter, its header and its columns."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import itemgetter

from service.core.errors import InputError
from service.core.tables import Table

REASONS = ("line", "errors")
"""The first columns of a rejects file, which are not part of the record."""
KEY = "reject"
"""The column after them, with the key of the reject. Files of older versions lack it."""

Record = Sequence[str]


@dataclass(frozen=True)
class CsvLayout:
    """The columns of a file, and those of its table, each in their order.

    lead: the number of fields before the columns that are not part of a row; header: the first
    record names the columns; keyed: the last field before the columns names a reject.
    """

    columns: tuple[str, ...]
    table_columns: tuple[str, ...]
    delimiter: str = ","
    lead: int = 0
    header: bool = False
    keyed: bool = False

    @property
    def width(self) -> int:
        """The number of fields in a record."""
        return self.lead + len(self.columns)

    @property
    def text(self) -> str:
        """The header of a file with this layout, without the columns that a rejects file adds."""
        return self.delimiter.join(self.columns)

    def arrange(self, records: list[Record]) -> list[Record]:
        """The records with their fields in the order of the table; others keep their order."""
        if self.lead == 0 and self.columns == self.table_columns:
            return records
        width = self.width
        places = [self.lead + self.columns.index(name) for name in self.table_columns]
        # With one place, itemgetter returns the field alone.
        pick = itemgetter(*places) if len(places) > 1 else itemgetter(slice(places[0], width))
        return [pick(record) if len(record) == width else record[self.lead :] for record in records]

    def original(self, text: str) -> str:
        """The text of a record without the columns that a rejects file adds."""
        return text[len(self._added(text)) :]

    def key(self, text: str) -> str:
        """The key of the reject that the text of a record names; empty without one."""
        fields = self._added(text).split(self.delimiter)
        return fields[-2].strip(' "') if self.keyed and len(fields) > 1 else ""

    def _added(self, text: str) -> str:
        match = self._before.match(text) if self.lead else None
        return match[0] if match else ""

    @cached_property
    def _before(self) -> re.Pattern[str]:
        field = rf'(?:[ \t]*"[^"]*(?:""[^"]*)*"[ \t]*|[^{re.escape(self.delimiter)}\n]*)'
        return re.compile(f"(?:{field}{re.escape(self.delimiter)}){{{self.lead}}}")


def layout_of(table: Table, first: Record, delimiter: str) -> CsvLayout:
    """The layout of a file by its first record; InputError for a header that does not fit."""
    names = tuple(field.strip().lower() for field in first)
    if "id" not in names or any(name.isdecimal() for name in names):
        return CsvLayout(table.columns, table.columns, delimiter)
    return layout_with(table, names, table.columns, delimiter)


def layout_with(
    table: Table, names: tuple[str, ...], columns: tuple[str, ...], delimiter: str = ","
) -> CsvLayout:
    """The layout of a file whose header has these names; InputError unless they are `columns`."""
    keyed = names[: len(REASONS) + 1] == (*REASONS, KEY)
    lead = len(REASONS) + keyed if names[: len(REASONS)] == REASONS else 0
    _check_header(table, names[lead:], columns)
    return CsvLayout(names[lead:], columns, delimiter, lead, header=True, keyed=keyed)


def _check_header(table: Table, names: tuple[str, ...], columns: tuple[str, ...]) -> None:
    faults = {
        "lacks": [name for name in columns if name not in names],
        "has the unknown column": [name for name in names if name not in columns],
        "has twice": [name for at, name in enumerate(names) if name in names[:at]],
    }
    for fault, found in faults.items():
        if found:
            raise InputError(
                f"The header of the file for {table.name} {fault} {', '.join(map(repr, found))}. "
                f"It must name {', '.join(columns)}."
            )
