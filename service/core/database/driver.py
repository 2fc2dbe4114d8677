"""aiomysql's connection and cursor, extended: deadlines, TLS checks, fast batch inserts."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import aiomysql
import pymysql
from pymysql.constants import CLIENT, FIELD_TYPE, SERVER_STATUS
from pymysql.converters import decoders

import sql
from service.core.database.literals import ESCAPES, render
from service.core.database.servers import writability

CONNECT_SECONDS = 5
ROLLBACK_SECONDS = 5
"""A rollback that takes longer ends with its connection closed."""
KEEP_ALIVE = {
    getattr(socket, name): value
    for name, value in {
        "TCP_KEEPIDLE": 5,
        "TCP_KEEPINTVL": 3,
        "TCP_KEEPCNT": 3,
        "TCP_USER_TIMEOUT": 15_000,
    }.items()
    if hasattr(socket, name)
}
"""Socket options that detect a vanished server within 15 s (s, s, probes, ms).

Backups and restores have deadlines of hours, and the kernel's defaults are hours as well.
"""
UNREACHABLE, LOST, TLS_FAILED = 2003, 2013, 2026
"""Error numbers of the client library."""

SQL = sql.statements("database")


def _iso(text: str | bytes) -> str:
    """Convert the server's text of a DATETIME to ISO 8601."""
    value = text.decode() if isinstance(text, bytes) else text
    return value.replace(" ", "T").removesuffix(".000000")


def _plain_text(text: str | bytes) -> str:
    """Return the server's text of a DATE or a DECIMAL."""
    return text.decode() if isinstance(text, bytes) else text


TEXT_DECODERS = {
    FIELD_TYPE.DATETIME: _iso,
    **dict.fromkeys((FIELD_TYPE.DATE, FIELD_TYPE.NEWDATE), _plain_text),
    **dict.fromkeys((FIELD_TYPE.DECIMAL, FIELD_TYPE.NEWDECIMAL), _plain_text),
}
"""Decoders of the types that rows carry as text."""


# aiomysql has no type annotations.
class Cursor(aiomysql.Cursor):  # type: ignore[misc]
    """A cursor that sends a batch as one statement.

    1,000 rows of the longest names, escaped, are 2 MiB. Servers accept 16 MiB or more by default.
    """

    max_stmt_length = 8 << 20
    sent = 0
    """The bytes of its statements."""

    async def _query(self, query: str | bytes) -> None:
        self.sent += len(query)
        await super()._query(query)

    async def insert_new(self, statement: str, rows: Sequence[tuple[Any, ...]], step: int) -> int:
        """Insert rows in one statement, however long, and return the id of the first row.

        Row i gets the id `first + i * step`. If the step of the session is another one, the server
        refuses the statement (error 1690).
        """
        prefix, parenthesis, rest = statement.rpartition("(")
        values = parenthesis + rest
        first = sql.if_id_step(values, step) if len(rows) > 1 else None
        rendered = render(values, rows, self._get_db().escape_string, first)
        if rendered is None:
            raise TypeError("a value is not a number, a boolean or a text")
        await self.execute(prefix.encode() + rendered)
        return int(self.lastrowid)

    async def _do_execute_many(
        self, prefix: str, values: str, postfix: str, args: Any, longest: int, encoding: str
    ) -> int:
        """Render column by column, if the types of all values allow it."""
        rows = list(args)
        rendered = render(values, rows, self._get_db().escape_string)
        if rendered is None or len(rendered) + len(prefix) + len(postfix) > longest:
            await super()._do_execute_many(prefix, values, postfix, rows, longest, encoding)
        else:
            await self.execute(b"".join((prefix.encode(), rendered, postfix.encode())))
        return int(self._rowcount)

    async def _show_warnings(self, connection: Connection) -> None:
        """Do nothing: it costs a round trip, and in strict mode a problem is an error."""


@dataclass(eq=False)
class Server:
    """A database server.

    address: its host and port, or its unix_socket.
    silent_until: until this time of the event loop, new connections prefer other servers.
    """

    address: dict[str, Any]
    silent_until: float = 0.0

    def __str__(self) -> str:
        return ":".join(map(str, self.address.values()))


# aiomysql has no type annotations.
class Connection(aiomysql.Connection):  # type: ignore[misc]
    """A connection with the session settings that the statements need, to a writable server.

    `id_step` is the difference between consecutive generated ids, as it was when last asked for.
    `trusts_locks`: rows whose parents are locked need no check of foreign keys. `needs_begin`: a
    transaction must not begin with its first statement. `commits_each`: whether each statement
    commits by itself, as the connection has set it: a proxy may report another mode.
    read_only: a server that takes no writes is usable as well.
    """

    id_step = 1
    trusts_locks = False
    needs_begin = False
    commits_each: bool | None = None

    def __init__(self, server: Server, *, read_only: bool = False, **options: Any):
        super().__init__(
            charset="utf8mb4",
            autocommit=True,
            conv={**decoders, **TEXT_DECODERS},
            **server.address,
            **options,
        )
        self.server = server
        self.client_flag &= ~CLIENT.MULTI_STATEMENTS
        self._for_reads = read_only

    async def open(self) -> None:
        """Connect; OperationalError."""
        await self._connect()

    def escape_string(self, text: str) -> str:
        """Escape a text as the base class does. Of a long one, that takes a ninth of the time."""
        if self.server_status & SERVER_STATUS.SERVER_STATUS_NO_BACKSLASH_ESCAPES:
            return str(super().escape_string(text))
        for character, escaped in ESCAPES:
            text = text.replace(character, escaped)
        return text

    def new_cursor(self) -> Cursor:
        """A cursor that needs no closing, because our statements have one result each."""
        self._ensure_alive()
        self._last_usage = self._loop.time()
        return Cursor(self)

    @property
    def is_open(self) -> bool:
        """Whether neither side has closed the connection."""
        reader = self._reader
        return bool(reader and not reader.eof_received and not reader.exception())

    def is_usable(self, max_idle: float) -> bool:
        """Whether the connection is open and its last use is at most `max_idle` seconds ago."""
        return self.is_open and self._loop.time() - self.last_usage <= max_idle

    def close(self) -> None:
        """Close at once. The transport would wait until the server has taken what was sent."""
        if self._writer:
            self._writer.transport.abort()
        super().close()

    async def check(self) -> str:
        """Ask the server for its version; OperationalError if it takes no writes but must."""
        async with self.cursor(Cursor) as cursor:
            await cursor.execute(SQL["server"])
            self.id_step, read_only, version = await cursor.fetchone()
            if not self._for_reads:
                await writability.check(cursor, version, read_only=bool(read_only))
        return str(version)

    async def autocommit(self, value: bool) -> None:
        """Let each statement commit by itself, or begin a transaction if there is none.

        A connection keeps the mode, so this is rarely a round trip.
        """
        self.autocommit_mode = value or self.needs_begin
        if self.autocommit_mode != self.commits_each:
            await self._send_autocommit_mode()
            self.commits_each = self.autocommit_mode

    async def begin(self) -> None:
        """Begin a transaction. Without autocommit, its first statement begins it."""
        if self.commits_each:
            await super().begin()

    async def roll_back(self) -> None:
        """Roll back, or close the connection if that fails, which rolls back as well; no error."""
        with suppress(pymysql.MySQLError, OSError, RuntimeError):
            try:
                async with asyncio.timeout(ROLLBACK_SECONDS):
                    await self.rollback()
            except BaseException:
                self.close()
                raise

    async def _connect(self) -> None:
        try:
            # aiomysql's connect_timeout uses wait_for, which may lose a cancellation before 3.12.
            async with asyncio.timeout(CONNECT_SECONDS):
                await super()._connect()
                await self._set_up()
        except BaseException as error:
            self.close()
            if isinstance(error, TimeoutError):
                reason = f"the server did not answer within {CONNECT_SECONDS} s"
                raise pymysql.OperationalError(LOST, reason) from error
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
            for name in ("session", "isolation"):
                await cursor.execute(SQL[name])
            version = await self.check()
            # seekdb's handshake names version 5.7.25; only VERSION() identifies it.
            if "OceanBase" in version:
                await cursor.execute(SQL["oceanbase_session"])
            elif "MariaDB" in version:
                await cursor.execute(SQL["mariadb_session"])
                # Galera waits for what other nodes committed at BEGIN, but not at an INSERT.
                self.needs_begin = True
            elif not self._for_reads:
                self.trusts_locks = await writability.trusts_locks(cursor)
