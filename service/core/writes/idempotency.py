"""Idempotency keys: the transaction that writes the rows also stores the reply under its key."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable

from msgspec import Struct

import sql
from service.core.database.transactions import Database, Transaction
from service.core.errors import (
    CommitUnknownError,
    ContentionError,
    DuplicateError,
    KeyBusyError,
    KeyReusedError,
    MalformedError,
    UnavailableError,
)

MAX_CHARACTERS = 255
PURGED_AT_ONCE = 1000
RECHECK_SECONDS = 5
"""The time to find out whether an unconfirmed COMMIT was done, before the client gets an error."""
SQL = sql.statements("idempotency_keys")


class Reply(Struct):
    """A reply to a client; replayed: the reply is a repetition."""

    status: int
    body: bytes
    replayed: bool = False


Work = Callable[[Transaction], Awaitable[Reply]]


class Key(Struct, frozen=True):
    """The key of a request; fingerprint: a hash of everything that the request consists of."""

    user: str
    route: str
    text: str
    fingerprint: str

    @property
    def digest(self) -> str:
        """The primary key in the database."""
        return hash_of(self.user, self.route, self.text)


def hash_of(*values: str | bytes) -> str:
    """A hash of values; their lengths are part of it, so that ("ab", "c") is not ("a", "bc")."""
    digest = hashlib.sha256()
    for value in values:
        data = value.encode() if isinstance(value, str) else value
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()


def check_key(text: str) -> None:
    """MalformedError unless the text is a valid key."""
    if not 1 <= len(text) <= MAX_CHARACTERS:
        raise MalformedError(
            f"An Idempotency-Key must have 1 to {MAX_CHARACTERS} characters, not {len(text)}."
        )
    # Headers have no encoding, so other programs may decode anything but ASCII differently.
    if not (text.isascii() and text.isprintable()):
        raise MalformedError("An Idempotency-Key must consist of printable ASCII characters.")


class Keys:
    """The keys of requests; each is kept for `hours`."""

    def __init__(self, database: Database, hours: int):
        self._database = database
        self._hours = hours
        self._running: set[str] = set()

    async def once(self, key: Key, work: Work) -> Reply:
        """Run `work` in a transaction, or return its stored reply; KeyReusedError, KeyBusyError."""
        digest = key.digest
        if digest in self._running:
            raise KeyBusyError("The first request with this Idempotency-Key is still running.")
        self._running.add(digest)
        try:
            return await self._find_or_run(key, work)
        finally:
            self._running.discard(digest)

    async def purge(self) -> int:
        """Delete some of the expired keys and return their number."""
        async with self._database.transaction() as transaction:
            return await transaction.execute(SQL["purge"], (PURGED_AT_ONCE,))

    async def _find_or_run(self, key: Key, work: Work) -> Reply:
        async def attempt(transaction: Transaction) -> Reply:
            stored = await self._find(transaction, key)
            return stored or await self._run(transaction, key, work)

        try:
            return await self._database.run(attempt)
        except CommitUnknownError as unknown:
            # The next attempt finds the key exactly if the COMMIT was done.
            try:
                async with asyncio.timeout(RECHECK_SECONDS):
                    return await self._database.run(attempt)
            except (TimeoutError, UnavailableError):
                raise unknown from None

    async def _find(self, transaction: Transaction, key: Key) -> Reply | None:
        for fingerprint, status, body, alive in await transaction.fetch(SQL["find"], (key.digest,)):
            if not alive:
                await transaction.execute(SQL["delete_expired"], (key.digest,))
            elif fingerprint != key.fingerprint:
                raise KeyReusedError(
                    "This Idempotency-Key was used for a different request. Use a new key."
                )
            else:
                return Reply(status, body.encode(), replayed=True)
        return None

    async def _run(self, transaction: Transaction, key: Key, work: Work) -> Reply:
        reply = await work(transaction)
        row = (key.digest, key.fingerprint, key.user, key.route, key.text)
        try:
            await transaction.execute(
                SQL["insert"], (*row, reply.status, reply.body.decode(), self._hours)
            )
        except DuplicateError as error:
            # Another process stored the key first: roll back, and return its reply.
            raise ContentionError("Another process stored this key.") from error
        return reply
