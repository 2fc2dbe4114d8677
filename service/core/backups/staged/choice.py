"""Decides whether a restore is staged: it is large, and nothing else uses the tables."""

from __future__ import annotations

import re
from collections.abc import Sequence

from service.core.backups.format.avro import Reader
from service.core.backups.staged.definition import SQL, definition_of
from service.core.backups.staged.staging import LONGEST
from service.core.database.replication.limits import TransactionLimits
from service.core.database.statements import SQL as SESSION
from service.core.database.transactions import Database
from service.core.tables import Table
from service.core.writes.transaction_size import OTHER_BYTES, OTHER_ROWS

LARGE_ROWS = 100_000
"""A restore is staged if the files, or a table that they replace, have this many rows."""
CHUNK_ROWS, EMBEDDED_CHUNK_ROWS = 10_000, 2000
"""Rows in a transaction; fewer on seekdb: a kill -9 in a COMMIT of over 900 KB leaves its locks."""
QUARTER = 4


async def is_large(database: Database, scanned: Sequence[Reader]) -> bool:
    """Whether the files or the tables that they replace have many rows."""
    if sum(reader.rows for reader in scanned) >= LARGE_ROWS:
        return True
    nth = [await database.fetch(one.table.sql["nth"], (0, LARGE_ROWS - 1)) for one in scanned]
    return any(nth)


async def can_be_staged(database: Database, tables: Sequence[Table]) -> bool:
    """Whether tables can be swapped: no other table refers to them, and they have no triggers.

    A login that cannot see triggers does not know.
    """
    names = {table.name for table in tables}
    for child, parent, is_own in await database.fetch(SQL["references"]):
        if parent in names and not (child in names and is_own):
            return False
    ((sees_triggers,),) = await database.fetch(SESSION["sees_triggers"])
    triggers = {name for (name,) in await database.fetch(SQL["triggers"])}
    if not sees_triggers or names & triggers:
        return False
    return all([await _has_plain_names(database, name) for name in names])


async def _has_plain_names(database: Database, name: str) -> bool:
    """Whether its keys can get temporary names, and all its CHECKs have generated names."""
    definition = await definition_of(database, name)
    keys = (key.strip("`") for key in definition.foreign_keys)
    generated = re.compile(rf"`{re.escape(name)}_chk_\d+`")
    return all(map(generated.fullmatch, definition.checks)) and all(
        len(key) <= LONGEST for key in [name, *keys]
    )


def rows_in_chunk(tables: Sequence[Table], limits: TransactionLimits, *, embedded: bool) -> int:
    """The rows of a chunk, so that its transaction fits the limits of the server."""
    rows = EMBEDDED_CHUNK_ROWS if embedded else CHUNK_ROWS
    if limits.rows:
        rows = min(rows, limits.rows.value - OTHER_ROWS)
    if limits.bytes:
        # A quarter, because the texts of the statements may count as well.
        widest = max(table.row_bytes + limits.most_keys(table) for table in tables)
        rows = min(rows, (limits.bytes.value - OTHER_BYTES) // QUARTER // widest)
    return max(1, rows)
