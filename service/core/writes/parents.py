"""The parents that rows refer to: a row whose parent does not exist is a reject."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import sql
from service.core.database.transactions import Transaction
from service.core.rules.batch import Batch
from service.core.rules.fields import Error, is_id
from service.core.rules.reject import Reject
from service.core.tables import Field, Table, by_name
from sql import chunks


def _nothing(_table: Table, _ids: set[int]) -> set[int]:
    return set()


async def check_parents(
    transaction: Transaction,
    batch: Batch,
    coming: Callable[[Table, set[int]], set[int]] = _nothing,
) -> None:
    """Reject the rows whose parents do not exist: one query, and one a parent table if some do not.

    Rows that are rejected already are told of missing parents too. `coming`: those of the ids
    that will exist by the time the rows are written.
    """
    claims = {reject.position: batch.claims(reject.position) for reject in batch.rejects}
    wanted = [
        Parents(at, field, batch.named(at), _claimed(claims, field))
        for at, field in batch.table.parents
    ]
    if await _all_exist(transaction, wanted):
        return
    errors: dict[int, list[Error]] = {}
    for parents in wanted:
        missing = await _missing(transaction, parents)
        missing -= coming(parents.table, missing)
        for index, row in enumerate(batch.rows):
            if row[parents.at] in missing:
                errors.setdefault(index, []).append(parents.lacks(row[parents.at]))
        batch.rejects = [
            _with_error(reject, parents.lacks(parents.claimed[reject.position]))
            if parents.claimed.get(reject.position) in missing
            else reject
            for reject in batch.rejects
        ]
    if errors:
        batch.reject(errors)


@dataclass(frozen=True)
class Parents:
    """What a batch says in a field that refers to another table.

    at: the field's offset in a row; ids: what the rows name; claimed: what rejected rows name, by
    position.
    """

    at: int
    field: Field
    ids: set[int]
    claimed: dict[int, int]

    @property
    def table(self) -> Table:
        """The table they are in."""
        return by_name(self.field.references or "")

    @cached_property
    def parts(self) -> list[Sequence[int]]:
        """All the ids, in lists short enough for a query."""
        return list(chunks(sorted(self.ids.union(self.claimed.values()))))

    def lacks(self, key: int) -> Error:
        """The error of a row whose parent does not exist."""
        name = self.field.name
        return Error(name, "not_found", f"{name} {key} is not in {self.field.references}")


def _claimed(claims: dict[int, Any], field: Field) -> dict[int, int]:
    """The parent that each rejected row names, by position, where it is an id at all."""
    return {
        position: said[field.name]
        for position, said in claims.items()
        if isinstance(said, dict) and is_id(said.get(field.name))
    }


def _with_error(reject: Reject, error: Error) -> Reject:
    return Reject(reject.position, reject.record, [*reject.errors, error])


async def _all_exist(transaction: Transaction, wanted: list[Parents]) -> bool:
    """Whether no parent is missing, as is most often the case: counted in one round trip."""
    asked = [(parents.table, part) for parents in wanted for part in parents.parts]
    if not asked:
        return True
    counts = [sql.expand(table.sql["count_existing"], len(part)) for table, part in asked]
    ids = [key for _, part in asked for key in part]
    counted = await transaction.fetch(sql.union(counts), ids)
    there: int = sum(count for (count,) in counted)
    return there == len(ids)


async def _missing(transaction: Transaction, parents: Parents) -> set[int]:
    statement = parents.table.sql["existing"]
    found = {
        key
        for part in parents.parts
        for (key,) in await transaction.fetch(sql.expand(statement, len(part)), part)
    }
    return {key for part in parents.parts for key in part} - found
