"""Exports: all rows of a list from one snapshot. The database server builds the lines."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

import sql
from service.core.database.statements import Transaction
from service.core.database.transactions import Database
from service.core.errors import DatabaseError
from service.core.prefetch import prefetch
from service.core.reads import paths
from service.core.reads.filters import SQL
from service.core.reads.lines import ROWS, Form, Formulas, header_of, joins_of, line_of, names_of
from service.core.reads.orders import Key
from service.core.reads.query import Query


async def stream(
    database: Database, query: Query, form: Form, formulas: Formulas = "keep"
) -> AsyncGenerator[bytes]:
    """The file of a list, in chunks. The first one is sent when the snapshot is open."""
    async with database.snapshot() as transaction:
        yield header_of(names_of(query), form)
        windows = _Windows(transaction, query, form, formulas)
        prefetched: AsyncGenerator[bytes] = prefetch(windows.next)
        async with aclosing(prefetched) as chunks:
            async for chunk in chunks:
                yield chunk


class _Windows:
    """The lines of a list, window by window along its path."""

    def __init__(self, transaction: Transaction, query: Query, form: Form, formulas: Formulas):
        self._transaction, self._query = transaction, query
        self._line, self._joins = line_of(query, form, formulas), joins_of(query)
        # A window of the longest rows must fit the server's reply.
        texts = len(query.table.text_columns) + len(query.expand)
        self._rows = max(1, paths.SCAN // max(1, texts))
        self._path: paths.Path | None = None
        self._after, self._ended = query.after, False

    async def next(self) -> bytes | None:
        """The lines of the next window that is not empty; None after the last."""
        lines = b""
        while not lines and not self._ended:
            path = await self._along()
            end = await self._end(path)
            count, lines = await self._lines(path, end)
            if lines.count(b"\n") < count:
                lines = b""
                self._halve(count)
            else:
                self._after, self._ended = end, end is None
        return lines or None

    def _halve(self, count: int) -> None:
        """Make windows smaller. seekdb returns no text for some sizes, such as 6.2 MB."""
        if self._rows == 1:
            raise DatabaseError(
                f"The database counted {count} rows of {self._query.table.path} for a file, but "
                "did not return all of them."
            )
        self._rows, self._path = self._rows // 2, None

    async def _along(self) -> paths.Path:
        if self._path is None:
            fetch = self._transaction.fetch
            self._path = await paths.path_of(fetch, self._query, self._rows)
        return self._path

    async def _end(self, path: paths.Path) -> Key | None:
        if not path.in_order:
            return None
        fetch = self._transaction.fetch
        return await paths.end_of_window(fetch, self._query, path, self._after, self._rows)

    async def _lines(self, path: paths.Path, end: Key | None) -> tuple[int, bytes]:
        """The number of rows, and their lines."""
        query = self._query
        text, values = query.where(path.conditions, self._after, end)
        table = query.table
        statement = sql.with_names(
            SQL["lines"], columns=table.columns, table=table.name, index=path.index
        )
        statement = sql.with_parts(
            statement,
            line=self._line,
            order=query.order.text(ROWS),
            conditions=text,
            joins=self._joins,
        )
        ((count, lines),) = await self._transaction.fetch(statement, values)
        encoded = lines.encode() if isinstance(lines, str) else lines
        return count, encoded + b"\n" if encoded else b""
