"""Staging tables: each holds the rows of one file until it takes the place of the live table."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import sql
from service.core.backups.sources import Source, digest_of
from service.core.backups.staged.changes import change, drop
from service.core.backups.staged.definition import SQL, Definition, definition_of, referring_to
from service.core.backups.staged.guard import remove_guards
from service.core.database.transactions import Database
from service.core.errors import MissingTableError
from service.core.tables import TABLES, Table
from service.core.writes.checkpoint import Checkpoint

DIGITS = 8
"""The digits of a restore's key in names: 64 characters are the most."""
LONGEST = 64 - len("restore_") - DIGITS - len("_")
"""The longest name of a table or a foreign key that can get such a prefix."""

_NAME = re.compile(rf"(?:restore|replaced)_([0-9a-f]{{{DIGITS}}})_(\w+)")
_KEY = re.compile(rf"`restore_[0-9a-f]{{{DIGITS}}}_(.+)`")


def key_of(sources: Sequence[Source], rows_in_chunk: int) -> str:
    """The key of a restore: the same for the same files into the same tables."""
    facts = [f"{table.name} {digest_of(file)}" for table, file in sources]
    return hashlib.sha256(f"{facts} {rows_in_chunk}".encode()).hexdigest()


@dataclass(frozen=True)
class Staging:
    """The staging table of one table in one restore."""

    database: Database
    table: Table
    key: str

    @property
    def name(self) -> str:
        """Its name."""
        return f"restore_{self.key[:DIGITS]}_{self.table.name}"

    @property
    def replaced(self) -> str:
        """The name of the live table after the swap."""
        return f"replaced_{self.key[:DIGITS]}_{self.table.name}"

    @property
    def stored(self) -> Table:
        """The table whose statements work on the staging table."""
        return replace(self.table, stored_in=self.name)

    @property
    def checkpoint(self) -> Checkpoint:
        """The chunks that it holds."""
        key = hashlib.sha256(f"{self.key} {self.table.name}".encode()).hexdigest()
        return Checkpoint(self.database, key, self.name, self.key)

    async def create(self) -> None:
        """Create it like the live table, but without indexes and foreign keys, unless it exists."""
        try:
            await definition_of(self.database, self.name)
        except MissingTableError:
            await self.forget()
            # The new table would have the guard as well.
            await remove_guards(self.database, [self.table.name])
            await self._create()

    async def _create(self) -> None:
        statement = sql.with_names(SQL["create"], name=self.name, live=self.table.name)
        await change(self.database, self.name, statement)
        await self._drop((await definition_of(self.database, self.name)).indexes)

    async def _drop(self, indexes: Iterable[str]) -> None:
        if dropped := ", ".join(f"DROP INDEX {name}" for name in indexes):
            await change(self.database, self.name, f"ALTER TABLE `{self.name}` {dropped}")

    async def add_indexes(self) -> None:
        """Add the indexes of the live table in one pass, unless it has them."""
        live, own = await self._definitions()
        if list(own.indexes) != list(live.indexes):
            # seekdb adds one after the other. If it was killed meanwhile, it has some of them.
            await self._drop(own.indexes)
            added = ", ".join(f"ADD {text}" for text in live.indexes.values())
            await change(self.database, self.name, f"ALTER TABLE `{self.name}` {added}")
        if own.next_id < live.next_id:
            statement = sql.with_parts(SQL["auto_increment"], next=str(live.next_id))
            await change(self.database, self.name, sql.with_names(statement, name=self.name))

    async def add_foreign_keys(self, names: Mapping[str, str]) -> None:
        """Add the foreign keys of the live table. Their names are temporary: names are unique.

        names: of the staging tables, by the names of their live tables.
        """
        live, own = await self._definitions()
        for key, reference in live.foreign_keys.items():
            temporary = f"`restore_{self.key[:DIGITS]}_{key[1:]}"
            if temporary not in own.foreign_keys:
                await add_key(self.database, self.name, temporary, referring_to(reference, names))

    async def discard(self) -> None:
        """Drop it, and forget its chunks first: a record means that its rows are there."""
        await self.forget()
        await drop(self.database, self.name)

    async def forget(self) -> None:
        """Delete the records of its chunks; it does no harm to do it twice."""
        await self.database.run(
            lambda transaction: transaction.execute(SQL["forget"], (self.name,)), idempotent=True
        )

    async def _definitions(self) -> tuple[Definition, Definition]:
        live = await definition_of(self.database, self.table.name)
        return live, await definition_of(self.database, self.name)


async def add_key(database: Database, name: str, key: str, reference: str) -> None:
    """Add a foreign key to a table; key: its name in backticks."""
    statement = sql.with_parts(
        sql.with_names(SQL["add_key"], name=name), key=key.strip("`"), reference=reference
    )
    await change(database, name, statement)


async def rename_keys(database: Database, name: str) -> None:
    """Give the foreign keys of a table that was swapped in the names that they had before.

    The right one is added before the temporary one is dropped, so the table is never without.
    """
    keys = (await definition_of(database, name)).foreign_keys
    for key, reference in keys.items():
        if found := _KEY.fullmatch(key):
            if f"`{found[1]}`" not in keys:
                await add_key(database, name, found[1], reference)
            statement = sql.with_parts(SQL["drop_key"], key=key.strip("`"))
            await change(database, name, sql.with_names(statement, name=name))


def table_of(name: str) -> tuple[str, Table] | None:
    """(key, table) in the name of a staging table or a replaced one; None for other tables."""
    found = _NAME.fullmatch(name)
    tables = {table.name: table for table in TABLES}
    return (found[1], tables[found[2]]) if found and found[2] in tables else None
