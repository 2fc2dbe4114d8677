"""The rejects of a file in the table `rejects`."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

import sql
from loader.reading.layout import CsvLayout
from service.core.database.statements import Transaction
from service.core.database.transactions import Database
from service.core.rules.fields import Error
from service.core.rules.reject import Reject
from service.core.tables import Table
from service.core.writes.checkpoint import SQL
from service.core.writes.corrections.files import dismiss_repeated, key_of, repeated
from service.core.writes.rejects import REJECTS, RejectOrigin, log_rejects
from sql import chunks

STATEMENT = 2000
"""Rejects in one INSERT."""

_errors = msgspec.json.Decoder(list[Error])


class RejectLog:
    """The rows of the table `rejects` that the last load of one file wrote."""

    def __init__(self, table: Table, origin: RejectOrigin):
        self._table = table
        self._origin = origin

    async def put_layout(self, database: Database, layout: CsvLayout) -> None:
        """Log the columns of the file, if they are not the usual ones."""
        usual = ",".join(self._table.columns)
        if layout.text != usual:
            row = (self._origin.fingerprint, layout.text)
            await database.run(
                lambda transaction: transaction.execute(REJECTS["insert_layout"], row),
                idempotent=True,
            )

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
        repeats = ((reject.position, reject.key) for reject in fresh)
        await dismiss_repeated(transaction, self._origin.fingerprint or "", repeats, "loader")

    def _key(self, line: int) -> str:
        return key_of(self._origin.fingerprint or "", line)

    async def _forget(self, transaction: Transaction, lines: Sequence[int]) -> None:
        for chunk in chunks(lines):
            statement = sql.with_in_list(SQL["forget_rejects"], len(chunk))
            await transaction.execute(statement, (self._origin.fingerprint, *chunk))

    async def fetch(self, reader: Transaction | Database, lines: range) -> list[Reject]:
        """The rejects of these lines, by line."""
        bounds = (self._origin.fingerprint, lines.start, lines.stop)
        rows = await reader.fetch(SQL["rejects_between"], bounds)
        return [
            Reject(line, record, _errors.decode(errors), repeated(reason) or self._key(line))
            for line, record, errors, reason in rows
        ]
