"""The rejects of a file in the database."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

import sql
from loader.loading.checkpoint import SQL
from service.core.database.transactions import Database, Transaction
from service.core.rules.fields import Error
from service.core.rules.reject import Reject
from service.core.tables import Table
from service.core.writes.rejects import RejectOrigin, log_rejects
from sql import chunks

_errors = msgspec.json.Decoder(list[Error])


class RejectLog:
    """The rejects table's rows of one file: what the last load of this content refused."""

    def __init__(self, table: Table, origin: RejectOrigin):
        self._table = table
        self._origin = origin

    async def put(self, transaction: Transaction, rejects: Sequence[Reject], lines: range) -> None:
        """Make the log of these lines say what was refused; what it says already is left alone."""
        known = {reject.position: reject for reject in await self._fetch(transaction, lines)}
        fresh = [reject for reject in rejects if known.get(reject.position) != reject]
        stale = known.keys() - {reject.position for reject in rejects}
        stale |= known.keys() & {reject.position for reject in fresh}
        for part in chunks(sorted(stale)):
            statement = sql.with_in_list(SQL["forget_rejects"], len(part))
            await transaction.execute(statement, (self._origin.fingerprint, *part))
        await log_rejects(transaction, self._table, fresh, self._origin)

    async def between(self, database: Database, lines: range) -> list[Reject]:
        """The rejects of these lines, by line."""
        return await self._fetch(database, lines)

    async def _fetch(self, reader: Transaction | Database, lines: range) -> list[Reject]:
        bounds = (self._origin.fingerprint, lines.start, lines.stop)
        rows = await reader.fetch(SQL["rejects_between"], bounds)
        return [Reject(line, record, _errors.decode(errors)) for line, record, errors in rows]
