"""The rejects of a file in the table `rejects`."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

import sql
from service.core.database.statements import Transaction
from service.core.database.transactions import Database
from service.core.rules.fields import Error
from service.core.rules.reject import Reject
from service.core.tables import Table
from service.core.writes.checkpoint import SQL
from service.core.writes.rejects import RejectOrigin, log_rejects
from sql import chunks

STATEMENT = 2000
"""Rejects in one INSERT."""

_errors = msgspec.json.Decoder(list[Error])


class RejectLog:
    """The rows of the table `rejects` that the last load of one file wrote."""

    def __init__(self, table: Table, origin: RejectOrigin):
        self._table = table
        self._origin = origin

    async def put(self, transaction: Transaction, rejects: Sequence[Reject], lines: range) -> None:
        """Make the log of these lines equal to `rejects`; equal rows stay as they are."""
        fresh = rejects
        if logged := {reject.position: reject for reject in await self.fetch(transaction, lines)}:
            equal = {one.position for one in rejects if logged.get(one.position) == one}
            fresh = [reject for reject in rejects if reject.position not in equal]
            await self._forget(transaction, sorted(logged.keys() - equal))
        for start in range(0, len(fresh), STATEMENT):
            await log_rejects(
                transaction, self._table, fresh[start : start + STATEMENT], self._origin
            )

    async def _forget(self, transaction: Transaction, lines: Sequence[int]) -> None:
        for chunk in chunks(lines):
            statement = sql.with_in_list(SQL["forget_rejects"], len(chunk))
            await transaction.execute(statement, (self._origin.fingerprint, *chunk))

    async def fetch(self, reader: Transaction | Database, lines: range) -> list[Reject]:
        """The rejects of these lines, by line."""
        bounds = (self._origin.fingerprint, lines.start, lines.stop)
        rows = await reader.fetch(SQL["rejects_between"], bounds)
        return [Reject(line, record, _errors.decode(errors)) for line, record, errors in rows]
