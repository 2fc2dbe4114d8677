"""aiomysql, with what it leaves out."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import NoneType
from typing import Any

import aiomysql
import pymysql
from pymysql.constants import CLIENT, FIELD_TYPE
from pymysql.converters import decoders

import sql

CONNECT_SECONDS = 5
CLEANUP_SECONDS = 5
"""So long may a rollback take."""
KEEP_ALIVE = {
    getattr(socket, name): value
    for name, value in {
        "TCP_KEEPIDLE": 20,
        "TCP_KEEPINTVL": 10,
        "TCP_KEEPCNT": 3,
        "TCP_USER_TIMEOUT": 50_000,
    }.items()
    if hasattr(socket, name)
}
"""Socket options that detect a vanished server within a minute (s, s, probes, ms).

Backups and restores have deadlines of hours, and the kernel's defaults are hours as well.
"""
READ_ONLY, UNREACHED, LOST, TLS_FAILED = 1290, 2003, 2013, 2026
"""Error numbers of the server and of its client."""

SQL = sql.statements("database")

SPECIAL = "\0\n\r\x1a\"'\\"
"""What pymysql escapes in a string."""

BARE = {int, bool}
"""What SQL writes as Python does: TRUE is True."""

Column = Sequence[Any]

_special = re.compile(f"[{re.escape(SPECIAL)}]").search


def _iso(text: str | bytes) -> str:
    """A DATETIME as the server writes it, to the ISO text that is stored in batches."""
    value = text.decode() if isinstance(text, bytes) else text
    return value.replace(" ", "T").removesuffix(".000000")


def _plain_text(text: str | bytes) -> str:
    """A DATE or a DECIMAL as the server writes it."""
    return text.decode() if isinstance(text, bytes) else text


def _has_special(text: str) -> bool:
    # In a long text, a search for each is ten times as fast as one for any of them.
    return any(character in text for character in SPECIAL)


def render(values: str, rows: list[tuple[Any, ...]], escape: Callable[[str], str]) -> bytes | None:
    """Rows as `(…),(…)`; None where a column holds anything but what `_literals` knows."""
    marks, columns = [], []
    for column in zip(*rows, strict=True):
        literals = _literals(column, escape)
        if literals is None:
            return None
        marks.append(literals[0])
        columns.append(literals[1])
    row = values % tuple(marks)
    return ",".join(map(row.__mod__, zip(*columns, strict=True))).encode()


def _literals(column: Column, escape: Callable[[str], str]) -> tuple[str, Column] | None:
    """(format, values) of numbers, booleans or texts, and of NULLs among them."""
    kinds = set(map(type, column))
    known = kinds - {NoneType}
    bare = known <= BARE
    if not bare and not all(issubclass(one, str) for one in known):
        return None
    if NoneType not in kinds:
        return ("%s", column) if bare else ("'%s'", _escaped(column, escape))
    filled = [value for value in column if value is not None]
    coming = iter(filled if bare else [f"'{text}'" for text in _escaped(filled, escape)])
    return "%s", ["NULL" if value is None else next(coming) for value in column]


def _escaped(column: Column, escape: Callable[[str], str]) -> Column:
    if not _has_special("".join(column)):
        return column
    # Texts repeat: the reasons of rejects most of all.
    texts = {text: escape(text) if _special(text) else text for text in set(column)}
    return [texts[text] for text in column]


AS_TEXT = {
    FIELD_TYPE.DATETIME: _iso,
    **dict.fromkeys((FIELD_TYPE.DATE, FIELD_TYPE.NEWDATE), _plain_text),
    **dict.fromkeys((FIELD_TYPE.DECIMAL, FIELD_TYPE.NEWDECIMAL), _plain_text),
}
"""How values are read that rows carry as text."""


# aiomysql has no types: of its classes, and of what they return, nothing is known.
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


class Connection(aiomysql.Connection):  # type: ignore[misc]
    """A connection in the session that the statements rely on, to a server that takes writes.

    `id_step` is what the server adds from one generated id to the next.
    """

    id_step = 1

    def __init__(self, **options: Any):
        super().__init__(
            charset="utf8mb4",
            autocommit=True,
            conv={**decoders, **AS_TEXT},
            **options,
        )
        self.client_flag &= ~CLIENT.MULTI_STATEMENTS

    async def opened(self) -> Connection:
        """This, connected."""
        await self._connect()
        return self

    def is_usable(self, max_idle: float) -> bool:
        """Whether it is open and was used within so many seconds."""
        reader, idle = self._reader, self._loop.time() - self.last_usage
        return bool(
            reader and not reader.eof_received and not reader.exception() and idle <= max_idle
        )

    async def roll_back(self) -> None:
        """End its transaction; it is closed where that fails, which undoes as well. No error."""
        with suppress(pymysql.MySQLError, OSError, RuntimeError):
            try:
                async with asyncio.timeout(CLEANUP_SECONDS):
                    await self.rollback()
            except BaseException:
                self.close()
                raise

    async def _connect(self) -> None:
        try:
            # The driver's own limit (asyncio.wait_for) may swallow a cancellation until 3.12.
            async with asyncio.timeout(CONNECT_SECONDS):
                await super()._connect()
                await self._set_up()
        except BaseException as error:
            self.close()
            if isinstance(error, TimeoutError):
                why = f"it did not answer within {CONNECT_SECONDS} s"
                raise pymysql.OperationalError(LOST, why) from error
            if isinstance(error, pymysql.OperationalError) and isinstance(
                error.__cause__, ssl.SSLError
            ):
                raise pymysql.OperationalError(TLS_FAILED, str(error.__cause__)) from error
            raise

    def _set_keep_alive(self) -> None:
        super()._set_keep_alive()
        connected = self._writer.transport.get_extra_info("socket")
        for option, value in KEEP_ALIVE.items():
            connected.setsockopt(socket.IPPROTO_TCP, option, value)

    async def _get_server_information(self) -> None:
        await super()._get_server_information()
        if self._ssl_context and not self.server_capabilities & CLIENT.SSL:
            raise pymysql.OperationalError(TLS_FAILED, "the server offers no TLS")

    async def _set_up(self) -> None:
        async with self.cursor(Cursor) as cursor:
            for name in ("session", "isolation", "server"):
                await cursor.execute(SQL[name])
            self.id_step, read_only, version = await cursor.fetchone()
            # seekdb greets as 5.7.25; only VERSION() says what it is.
            if "OceanBase" in version:
                await cursor.execute(SQL["oceanbase_session"])
        if read_only:
            raise pymysql.OperationalError(READ_ONLY, "the server takes no writes")


async def open_connection(*, servers: Sequence[dict[str, Any]], **options: Any) -> Connection:
    """A connection to the first of the servers that takes it; the last one's error if none does."""
    for server in servers[:-1]:
        try:
            return await _open(server | options)
        except pymysql.OperationalError:
            continue
    return await _open(servers[-1] | options)


async def _open(options: dict[str, Any]) -> Connection:
    return await Connection(**options).opened()
