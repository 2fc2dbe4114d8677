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
from service.core.writes.corrections.files import key_of, repeated
from service.core.writes.rejects import REJECTS, RejectOrigin, log_rejects
from sql import chunks

STATEMENT = 2000
"""Rejects in one INSERT."""

_errors = msgspec.json.Decoder(list[Error])


class RejectLog:
    """The rows of the table `rejects` that the last load of one file wrote."""

    def __init__(self, table: Table, origin: RejectOrigin, layout: CsvLayout):
        self._table = table
        self._origin = origin
        self._layout = layout.text
        self._is_usual = layout.text == ",".join(table.columns)

    async def put(
        self, transaction: Transaction, rejects: Sequence[Reject], lines: range
    ) -> Sequence[Reject]:
        """Make the log of these lines equal to `rejects`; equal rows stay, the others are returned.

        The columns of the file are logged with them, if they are not the usual ones.
        """
        if rejects and not self._is_usual:
            row = (self._origin.fingerprint, self._layout)
            await transaction.execute(REJECTS["insert_layout"], row)
        fresh = rejects
        if logged := {reject.position: reject for reject in await self.fetch(transaction, lines)}:
            equal = {one.position for one in rejects if logged.get(one.position) == one}
            fresh = [reject for reject in rejects if reject.position not in equal]
            await self._forget(transaction, sorted(logged.keys() - equal))
        for start in range(0, len(fresh), STATEMENT):
            await log_rejects(
                transaction, self._table, fresh[start : start + STATEMENT], self._origin
            )
        return fresh

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
