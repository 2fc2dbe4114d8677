"""aiomysql, with what it leaves out."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any

import aiomysql
from pymysql.constants import FIELD_TYPE
from pymysql.converters import decoders

CONNECT_SECONDS = 10

Connection = Any
"""aiomysql's connection, plus `prepared` and `id_step`; the library has no types."""

_special = re.compile(r"""[\0\n\r\x1a"'\\]""").search
"""What pymysql escapes in a string."""


def _iso(text: str | bytes) -> str:
    """A DATETIME as the server writes it, to the ISO text that is stored in batches."""
    value = text.decode() if isinstance(text, bytes) else text
    return value.replace(" ", "T").removesuffix(".000000")


def render(values: str, rows: list[tuple[Any, ...]], escape: Callable[[str], str]) -> bytes | None:
    """Rows as `(…),(…)`; None where a column holds anything but whole numbers or text."""
    columns = list(zip(*rows, strict=True))
    kinds = [set(map(type, column)) for column in columns]
    if not all(kind == {int} or all(issubclass(one, str) for one in kind) for kind in kinds):
        return None
    for at, kind in enumerate(kinds):
        if kind != {int} and _special("".join(columns[at])):
            columns[at] = tuple(escape(text) if _special(text) else text for text in columns[at])
    row = values % tuple("%s" if kind == {int} else "'%s'" for kind in kinds)
    return ",".join(map(row.__mod__, zip(*columns, strict=True))).encode()


class Cursor(aiomysql.Cursor):  # type: ignore[misc]
    """A cursor that sends a batch as one statement, so that its ids follow one another.

    1,000 rows of the longest names, escaped, are 2 MiB; every server takes 16 MiB by default.
    """

    max_stmt_length = 8 << 20

    async def _do_execute_many(
        self, prefix: str, values: str, postfix: str, args: Any, longest: int, encoding: str
    ) -> int:
        """Render whole columns at once: a tenth of the time that value by value takes."""
        rows = list(args)
        rendered = render(values, rows, self._get_db().escape_string)
        if rendered is None or len(rendered) + len(prefix) + len(postfix) > longest:
            await super()._do_execute_many(prefix, values, postfix, rows, longest, encoding)
        else:
            await self.execute(b"".join((prefix.encode(), rendered, postfix.encode())))
        return int(self._rowcount)

    async def _show_warnings(self, connection: Connection) -> None:
        """Costs a round trip and tells nothing: in strict mode what is wrong is an error."""


class Pool(aiomysql.pool.Pool):  # type: ignore[misc]
    """aiomysql's pool, opened on demand, that never forgets a waiter."""

    def __init__(self, size: int, **options: Any):
        super().__init__(
            minsize=0,
            maxsize=size,
            echo=False,
            pool_recycle=3600,
            loop=asyncio.get_running_loop(),
            charset="utf8mb4",
            autocommit=True,
            connect_timeout=CONNECT_SECONDS,
            conv={**decoders, FIELD_TYPE.DATETIME: _iso},
            **options,
        )

    async def _acquire(self) -> Connection:
        try:
            connection = await super()._acquire()
        except BaseException:
            # Woken, but cancelled or without a connection: it is the next waiter's turn.
            self._loop.create_task(self._wakeup())
            raise
        if not hasattr(connection, "prepared"):
            connection.prepared, connection.id_step = False, 1
        return connection

    def release(self, connection: Connection) -> asyncio.Future[None]:
        """Give a connection back; the base class wakes a waiter only for connections it keeps."""
        super().release(connection)
        return self._loop.create_task(self._wakeup())  # type: ignore[no-any-return]
