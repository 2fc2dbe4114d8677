"""Rows that a restore would leave without their parent: counted, and the first of them named."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import sql
from service.core.database.transactions import Transaction
from service.core.errors import OrphansError
from service.core.rules.batch import Batch
from service.core.rules.fields import Error
from service.core.tables import Table, by_name, children
from sql import chunks

NAMED = 100
"""Orphans that are told one by one."""


class Orphans:
    """What a restore found."""

    def __init__(self) -> None:
        self.count = 0
        self._named: list[dict[str, Any]] = []

    def refuse(self) -> None:
        """OrphansError if there are any."""
        if self.count:
            first = self._named[0]
            raise OrphansError(
                f"{self.count} rows would be without their parent, such as row {first['id']} of "
                f"{first['table']}, whose {first['field']} is {first['parent']}. Restore the "
                "tables together, or parents first; nothing was changed.",
                self.count,
                self._named,
            )

    async def in_file(self, parents: Parents, judged: Batch) -> None:
        """Take the rows whose parents do not exist out of a batch."""
        table, lost = judged.table, {}
        for at, field in table.parents:
            missing = await parents.missing(field.references or "", judged.parent_ids(at))
            for index, row in enumerate(judged.rows if missing else ()):
                if row[at] in missing:
                    lost[index] = [Error(field.name, "not_found", "has no parent")]
                    self._name(table, row[0], field.name, row[at])
        self.count += len(lost)
        if lost:
            judged.reject(lost)

    async def left_by(self, transaction: Transaction, table: Table, ids: Sequence[int]) -> None:
        """Count the rows that refer to rows which are about to be removed."""
        for child, field in children(table):
            for part in chunks(ids):
                ((count,),) = await transaction.fetch(
                    sql.with_in_list(child.sql[f"count_by_{field.name}"], len(part)), part
                )
                self.count += count
                if count and len(self._named) < NAMED:
                    statement = sql.with_in_list(child.sql[f"orphans_by_{field.name}"], len(part))
                    for key, parent in await transaction.fetch(statement, part):
                        self._name(child, key, field.name, parent)

    def _name(self, table: Table, key: int, field: str, parent: int) -> None:
        if len(self._named) < NAMED:
            self._named.append({"table": table.path, "id": key, "field": field, "parent": parent})


class Parents:
    """Which rows exist in the tables that others refer to, each asked for once."""

    def __init__(self, transaction: Transaction):
        self._transaction = transaction
        self._known: dict[str, set[int]] = {}

    async def missing(self, name: str, wanted: set[int]) -> set[int]:
        """Those ids that the table of that name lacks."""
        known = self._known.setdefault(name, set())
        unseen = wanted - known
        known.update(await self._existing(by_name(name), unseen))
        return unseen - known

    async def _existing(self, table: Table, ids: Iterable[int]) -> list[int]:
        return [
            key
            for part in chunks(sorted(ids))
            for (key,) in await self._transaction.fetch(
                sql.with_in_list(table.sql["existing"], len(part)), part
            )
        ]
