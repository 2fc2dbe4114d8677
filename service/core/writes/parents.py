"""The parents that rows refer to: a row whose parent does not exist is a reject.

The server checks each row against each of its parents. If a batch is large, the query that looks
for the parents also locks them, so that nobody can delete them before the transaction ends. Then
the rows need no check by the server (docs/decisions/0006-writes.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import sql
from service.core.database.statements import Transaction, fetch_among
from service.core.rules.batch import Batch, Row
from service.core.rules.fields import Error
from service.core.rules.reject import Reject
from service.core.tables import Field, Table, by_name
from sql import chunks

SQL = sql.statements("database")

LOCKED_ROWS = 500
"""With fewer rows, it takes longer to ask for other constraints than the server needs to check."""


Pending = Callable[[Table, set[int]], set[int]]
"""Which of these ids will exist in a table before the rows are written."""


def no_ids(_table: Table, _ids: set[int]) -> set[int]:
    """Nothing is pending."""
    return set()


async def check_parents(
    transaction: Transaction,
    batch: Batch,
    pending: Pending = no_ids,
) -> None:
    """Reject the rows whose parents do not exist; rejects get an error for each missing parent.

    One query if all parents exist, else one more for each parent table.
    """
    references = [Reference.of(batch, at, field) for at, field in batch.table.parents]
    if await _all_exist(transaction, batch, references):
        return
    errors: dict[int, list[Error]] = {}
    for reference in references:
        missing = await _missing(transaction, reference)
        missing -= pending(reference.table, missing)
        for index, row in enumerate(batch.rows):
            if row[reference.at] in missing:
                errors.setdefault(index, []).append(reference.not_found(row[reference.at]))
        batch.rejects = [
            _with_error(reject, reference.not_found(reference.rejected[reject.position]))
            if reference.rejected.get(reject.position) in missing
            else reject
            for reject in batch.rejects
        ]
    if errors:
        batch.reject(errors)


@dataclass(frozen=True)
class Reference:
    """The parent ids in one field of a batch.

    at: the field's offset in a row; ids: those of the rows; rejected: those of rejected rows, by
    position.
    """

    at: int
    field: Field
    ids: set[int]
    rejected: dict[int, int]

    @classmethod
    def of(cls, batch: Batch, at: int, field: Field) -> Reference:
        """The reference of a field at this offset."""
        return cls(at, field, batch.parent_ids(at), batch.parents.get(field.name, {}))

    @property
    def table(self) -> Table:
        """The parent table."""
        return by_name(self.field.references or "")

    @cached_property
    def chunks(self) -> list[Sequence[int]]:
        """All the ids, in lists short enough for a query."""
        return list(chunks(sorted(self.ids.union(self.rejected.values()))))

    def not_found(self, key: int) -> Error:
        """The error of a row whose parent does not exist."""
        name = self.field.name
        return Error(name, "not_found", f"{name} {key} is not in {self.field.references}")


def _with_error(reject: Reject, error: Error) -> Reject:
    return Reject(reject.position, reject.record, [*reject.errors, error])


async def _all_exist(transaction: Transaction, batch: Batch, references: list[Reference]) -> bool:
    """Whether all parents exist, as in most batches: one round trip.

    For a large batch, the query locks them, and asks which constraints the server checks.
    """
    tables_and_ids = [(one.table, ids) for one in references for ids in one.chunks]
    if not tables_and_ids:
        return True
    queries = [
        sql.with_in_list(table.sql["count_existing"], len(ids)) for table, ids in tables_and_ids
    ]
    keys = [key for _, ids in tables_and_ids for key in ids]
    names: list[str] = []
    lock = transaction.trusts_locks and len(batch.rows) >= LOCKED_ROWS
    if lock:
        names = [batch.table.name] * 2
        constraints = sql.with_name(SQL["constraints"], batch.table.name)
        queries = [*map(sql.locking, queries), constraints]
    found = await transaction.fetch(sql.union_all(queries), [*keys, *names])
    all_exist: bool = sum(count for count, _ in found) == len(keys)
    batch.parents_locked = lock and all_exist and _are_only_parents(batch.table, found)
    return all_exist


def _are_only_parents(table: Table, found: Iterable[Row]) -> bool:
    """Whether the parents are all that the server checks: no other foreign key, and no trigger.

    A trigger may write to tables that have foreign keys of their own.
    """
    names = sorted(name for _, name in found if name)
    return names == sorted(field.references or "" for _, field in table.parents)


async def _missing(transaction: Transaction, reference: Reference) -> set[int]:
    ids = {key for some in reference.chunks for key in some}
    existing = await fetch_among(transaction.fetch, reference.table.sql["existing"], ids)
    return ids - {key for (key,) in existing}
