"""What the pending migrations would do to a database in use: tables, locks, time."""

from __future__ import annotations

import math
import re
from functools import cache

from msgspec import Struct

import sql
from service.core.database.migrations import WAIT_SECONDS, applied_migrations
from service.core.database.statements import SQL, Transaction
from service.core.database.transactions import Database


class Kind(Struct, frozen=True):
    """A kind of statement; rows_per_second: measured on two busy cores, None if no row is read."""

    statement: re.Pattern[str]
    does: str
    waits: str
    rows_per_second: int | None = None


NOTHING_WAITS = "nothing waits"
CREATES = Kind(re.compile(r"CREATE TABLE IF NOT EXISTS (\w+)"), "creates {table}", NOTHING_WAITS)
INDEXES = Kind(
    re.compile(r"CREATE INDEX \w+ ON (\w+)"),
    "adds an index to {table}",
    NOTHING_WAITS,
    rows_per_second=200_000,
)
# For a generated or unique column, or a check of its values, the server reads or writes all rows.
METADATA = Kind(
    re.compile(
        r"(?is)ALTER TABLE (\w+) ADD COLUMN (?!.*\b(?:AUTO_INCREMENT|STORED|UNIQUE|PRIMARY|"
        r"REFERENCES|CHECK)\b)(?:[^,()]|\([\d, ]*\))+$"
    ),
    "changes the metadata of {table}",
    NOTHING_WAITS,
)
COPIES = Kind(
    re.compile(r"(?:ALTER|DROP|RENAME|UPDATE|DELETE FROM|INSERT INTO)\s(?:TABLE )?(\w+)"),
    "copies {table}",
    "writes to it wait",
    rows_per_second=20_000,
)
"""Anything else, so that nothing counts as quick that is not known to be."""
KINDS = (CREATES, INDEXES, METADATA, COPIES)
"""A statement is of the first kind that matches."""


class Change(Struct):
    """A statement of a pending migration; rows: how many it reads or copies.

    blocks_cluster: Galera runs it on all nodes at once, and keeps all writes waiting meanwhile.
    """

    migration: str
    kind: Kind
    table: str
    rows: int = 0
    blocks_cluster: bool = False

    @property
    def seconds(self) -> int:
        """A guess of how long the statement takes."""
        rate = self.kind.rows_per_second
        return math.ceil(self.rows / rate) if rate else 0

    def describe(self) -> str:
        """One line for an operator."""
        does = self.kind.does.format(table=self.table)
        if self.kind.rows_per_second:
            does += f" ({self.rows} rows, about {self.seconds} s)"
        waits = "all writes of the cluster wait" if self.blocks_cluster else self.kind.waits
        return f"{self.migration}: {does}; {waits}"


async def pending_changes(database: Database) -> list[Change]:
    """What `migrate` would do now. Changes nothing; NewerSchemaError."""
    applied = await applied_migrations(database.fetch)
    changes = [
        Change(f"{version:04} {name}", *kind_of(statement))
        for version, name, statements in sql.migrations()
        if version not in applied
        for statement in statements
    ]
    await database.run(lambda session: _complete(session, changes), WAIT_SECONDS)
    return changes


@cache
def created_tables() -> frozenset[str]:
    """The names of the tables that the migrations create."""
    statements = (one for _, _, statements in sql.migrations() for one in statements)
    return frozenset(table for kind, table in map(kind_of, statements) if kind is CREATES)


def kind_of(statement: str) -> tuple[Kind, str]:
    """The kind of a statement, and its table; ValueError."""
    for kind in KINDS:
        if found := kind.statement.match(statement):
            return kind, found[1]
    raise ValueError(f"A migration has a statement of an unknown kind: {statement}")


async def _complete(session: Transaction, changes: list[Change]) -> None:
    """Count the rows of the tables that exist. The estimates of servers can be a day old."""
    exist = {name for (name,) in await session.fetch(SQL["table_names"])}
    on_galera = bool(await session.fetch(SQL["galera_is_on"]))
    for change in changes:
        change.blocks_cluster = on_galera
        if change.kind.rows_per_second and change.table in exist:
            ((change.rows,),) = await session.fetch(sql.with_name(SQL["count_rows"], change.table))
