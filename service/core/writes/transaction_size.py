"""The size of a transaction, as replication counts it: compared with the limits of the server."""

from __future__ import annotations

from collections.abc import Collection

from pymysql.converters import escape_string

from service.core.database.replication.limits import Limit, TransactionLimits
from service.core.database.statements import Transaction
from service.core.errors import TransactionTooLarge
from service.core.rules.batch import Row
from service.core.rules.field_types import Fixed, Text
from service.core.tables import Table

EVENTS = 1.005
"""The headers of the events in a binary log, each of 8 KiB of rows."""
OTHER_ROWS, OTHER_BYTES = 1, 5000
"""The lock of a restore, and what a transaction has without rows."""
AROUND_ROW = 4
"""Parentheses, a comma, and a part of the few hundred bytes that a statement has without rows."""
OTHER = {"rows": OTHER_ROWS, "bytes": OTHER_BYTES}


class TransactionSize:
    """Adds up what a transaction writes; TransactionTooLarge as soon as it exceeds a limit."""

    def __init__(self, transaction: Transaction, limits: TransactionLimits):
        self._transaction, self._limits = transaction, limits
        self._rows, self._bytes = OTHER_ROWS, float(OTHER_BYTES)

    @property
    def is_limited(self) -> bool:
        """Whether the server has a limit."""
        return bool(self._limits.rows or self._limits.bytes)

    def add(self, table: Table, rows: Collection[Row], before: Collection[Row] = ()) -> None:
        """Rows that are inserted, deleted or, with their values `before`, updated."""
        self._rows += len(rows)
        if self._limits.bytes:
            per_row = table.stored_bytes + self._limits.most_keys(table)
            self._bytes += (len(rows) + len(before)) * per_row + _texts(table, rows, before)
        self.check()

    def check(self) -> None:
        """TransactionTooLarge if the transaction is too large now."""
        size = self._bytes * EVENTS
        if self._limits.with_statements:
            size += self._transaction.sent
        self._transaction.size = int(size)
        refuse_above(self._limits.rows, self._rows, "rows", self._rows)
        refuse_above(self._limits.bytes, self._transaction.size, "bytes", self._rows)


class PlannedSize(TransactionSize):
    """The same for a transaction that is still to come: the bytes of its statements are counted."""

    def add(self, table: Table, rows: Collection[Row], before: Collection[Row] = ()) -> None:
        """Rows as above."""
        if self._limits.with_statements:
            self._transaction.sent += sum(map(literal_bytes, rows))
        super().add(table, rows, before)


def refuse_above(limit: Limit | None, size: int, unit: str, rows: int) -> None:
    """TransactionTooLarge if a transaction has more rows or bytes than the limit.

    rows: that it writes, with the lock.
    """
    if limit and size > limit.value:
        room, needed = limit.value - OTHER[unit], size - OTHER[unit]
        most = max(0, (rows - OTHER_ROWS) * room // max(1, needed))
        raise TransactionTooLarge(
            f"This restore writes at least {size} {unit} in one transaction, and {limit.name} "
            f"allows {limit.value}: at most {most} rows like these. Nothing was changed. Restore "
            "fewer rows at once, or raise the limit. With mode=replace there is no limit, unless "
            "tables that are not restored refer to the restored ones."
        )


def least_bytes(table: Table, limits: TransactionLimits) -> int:
    """The bytes of a row with the shortest values."""
    kinds = [field.kind for field in table.stored_fields if not field.optional]
    # Decimals differ in size; a text has at least one byte.
    fixed = sum(kind.stored for kind in kinds if not isinstance(kind, Fixed))
    return fixed + sum(isinstance(kind, Text) for kind in kinds) + limits.least_keys(table)


def literal_bytes(row: Row) -> int:
    """The bytes of a row in a statement, with its share of the other bytes of the statement."""
    values = [f"'{escape_string(one)}'" if isinstance(one, str) else str(one) for one in row]
    return len(", ".join(values).encode()) + AROUND_ROW


def _texts(table: Table, *groups: Collection[Row]) -> int:
    """The bytes of all texts."""
    return sum(
        len("".join([row[at] for row in rows if row[at] is not None]).encode())
        for rows in groups
        for at in table.text_columns
    )
