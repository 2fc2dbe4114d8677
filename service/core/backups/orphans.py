"""Rows that a restore would leave without their parent: their count, and the first of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import sql
from service.core.database.statements import Transaction, fetch_among
from service.core.errors import OrphansError
from service.core.rules.batch import Batch
from service.core.tables import Field, Table, by_name, children
from sql import chunks

LISTED = 100
"""Orphans that an error lists."""


class Orphans:
    """The orphans of a restore."""

    def __init__(self) -> None:
        self.count = 0
        self._listed: list[dict[str, Any]] = []

    def refuse(self) -> None:
        """OrphansError if there are any."""
        if self.count:
            first = self._listed[0]
            raise OrphansError(
                f"{self.count} rows would lose their parent, such as row {first['id']} of "
                f"{first['table']}, whose {first['field']} is {first['parent']}. Restore the "
                "tables together, or parents first; nothing was changed.",
                self.count,
                self._listed,
            )

    async def count_in(self, parents: ParentCache, batch: Batch) -> None:
        """Count the rows of a batch whose parents do not exist."""
        table, found = batch.table, set()
        for at, field in table.parents:
            missing = await parents.missing(field.references or "", batch.parent_ids(at))
            for row in batch.rows if missing else ():
                if row[at] in missing:
                    found.add(row[0])
                    self._list(table, row[0], field.name, row[at])
        self.count += len(found)

    async def count_children(
        self, transaction: Transaction, table: Table, ids: Sequence[int]
    ) -> None:
        """Count the rows that refer to rows with these ids, which are to be removed."""
        for child, field in children(table):
            await self.count_references(transaction, child, field, ids)

    async def count_references(
        self, transaction: Transaction, child: Table, field: Field, ids: Sequence[int]
    ) -> None:
        """Count the rows of a table that have one of these parents in a field."""
        for part in chunks(ids):
            ((count,),) = await transaction.fetch(
                sql.with_in_list(child.sql[f"count_by_{field.name}"], len(part)), part
            )
            self.count += count
            if count and len(self._listed) < LISTED:
                statement = sql.with_in_list(child.sql[f"orphans_by_{field.name}"], len(part))
                for key, parent in await transaction.fetch(statement, part):
                    self._list(child, key, field.name, parent)

    def _list(self, table: Table, key: int, field: str, parent: int) -> None:
        if len(self._listed) < LISTED:
            self._listed.append({"table": table.path, "id": key, "field": field, "parent": parent})


class ParentCache:
    """Caches which parents exist, so that each is looked up once."""

    def __init__(self, transaction: Transaction):
        self._transaction = transaction
        self._known: dict[str, set[int]] = {}

    async def missing(self, name: str, ids: set[int]) -> set[int]:
        """The ids that do not exist in the table of that name."""
        known = self._known.setdefault(name, set())
        unseen = ids - known
        known.update(await self._existing(by_name(name), unseen))
        return unseen - known

    async def _existing(self, table: Table, ids: Iterable[int]) -> list[int]:
        rows = await fetch_among(self._transaction.fetch, table.sql["existing"], ids)
        return [key for (key,) in rows]
