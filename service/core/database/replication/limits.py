"""Limits of a server on the size of one transaction. Servers check them late: at COMMIT."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

import sql

if TYPE_CHECKING:
    from service.core.tables import Table

Fetch = Callable[..., Awaitable[list[tuple[Any, ...]]]]
"""Runs a query with its parameters on a server, and returns the rows."""

SQL = sql.statements("replication")
GROUP_KEY_BYTES, GALERA_KEY_BYTES = 14, 8
"""What a row adds to a transaction for its primary key and for each of its foreign keys."""


class Limit(Struct, frozen=True):
    """The most rows or bytes; name: of the setting, or of the variable of the server."""

    name: str
    value: int


class TransactionLimits(Struct, frozen=True):
    """Limits on one transaction; None: no limit that is known.

    key_bytes: of a row, for each of its keys. shares_parents: rows with the same parent have its
    key once. with_statements: the texts of the statements count.
    """

    rows: Limit | None = None
    bytes: Limit | None = None
    key_bytes: int = GROUP_KEY_BYTES
    shares_parents: bool = False
    with_statements: bool = False

    def most_keys(self, table: Table) -> int:
        """The most bytes of the keys of a row."""
        return self.key_bytes * (1 + len(table.parents))

    def least_keys(self, table: Table) -> int:
        """The least bytes of the keys of a row."""
        return self.key_bytes if self.shares_parents else self.most_keys(table)

    @classmethod
    def configured(cls, rows: int | None, size: int | None) -> TransactionLimits:
        """The limits in the settings."""
        return cls(
            _limit("MYSQL_MAX_TRANSACTION_ROWS", rows), _limit("MYSQL_MAX_TRANSACTION_BYTES", size)
        )


async def limits_of(fetch: Fetch, own: TransactionLimits) -> TransactionLimits:
    """The limits of a server; `own`, those in the settings, come first."""
    found: dict[str, str] = dict(await fetch(SQL["limits"]))
    asked = _galera(found) if found.get("wsrep_on") == "ON" else _group_replication(found)
    return msgspec.structs.replace(
        asked, rows=own.rows or asked.rows, bytes=own.bytes or asked.bytes
    )


def _galera(found: dict[str, str]) -> TransactionLimits:
    return TransactionLimits(
        _limit("wsrep_max_ws_rows", int(found["wsrep_max_ws_rows"])),
        _limit("wsrep_max_ws_size", int(found["wsrep_max_ws_size"])),
        GALERA_KEY_BYTES,
        shares_parents=True,
        with_statements=found.get("binlog_annotate_row_events") == "ON",
    )


def _group_replication(found: dict[str, str]) -> TransactionLimits:
    name = "group_replication_transaction_size_limit"
    # A compressed transaction counts as it is compressed, so its size is not known before.
    is_known = found.get("binlog_transaction_compression") != "ON"
    is_member = bool(found.get("group_replication_group_name"))
    size = int(found.get(name, 0)) if is_known and is_member else None
    with_statements = found.get("binlog_rows_query_log_events") == "ON"
    return TransactionLimits(None, _limit(name, size), with_statements=with_statements)


def _limit(name: str, value: int | None) -> Limit | None:
    """A limit; 0 means that there is none."""
    return Limit(name, value) if value else None
