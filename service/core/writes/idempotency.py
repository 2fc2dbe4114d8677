"""Exactly once: a request's reply is kept under its key, in the transaction that it reports on."""

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
LOOK_SECONDS = 5
"""So long is looked for rows whose COMMIT was not answered, before the client is told so."""
SQL = sql.statements("idempotency_keys")


class Reply(Struct):
    """What the client is told; replayed: for the second time at least."""

    status: int
    body: bytes
    replayed: bool = False


Work = Callable[[Transaction], Awaitable[Reply]]


class Key(Struct, frozen=True):
    """A client's key for one request: fingerprint is a hash of all that makes the request."""

    user: str
    route: str
    text: str
    fingerprint: str

    @property
    def digest(self) -> str:
        """What it is found by."""
        return hash_of(self.user, self.route, self.text)


def hash_of(*parts: str | bytes) -> str:
    """A hash of parts that keeps apart where each ends."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()


def check_key(text: str) -> None:
    """MalformedError unless the text can be a key."""
    if not 1 <= len(text) <= MAX_CHARACTERS:
        raise MalformedError(
            f"An Idempotency-Key has 1 to {MAX_CHARACTERS} characters, this one has {len(text)}."
        )
    # Headers have no encoding: anything but ASCII would be another text at the next reader.
    if not (text.isascii() and text.isprintable()):
        raise MalformedError("An Idempotency-Key has printable ASCII characters only.")


class Keys:
    """The keys of requests, kept for so many hours."""

    def __init__(self, database: Database, hours: int):
        self._database = database
        self._hours = hours
        self._running: set[str] = set()

    async def once(self, key: Key, work: Work) -> Reply:
        """Do `work` in a transaction, or give the reply it had; KeyReusedError, KeyBusyError."""
        digest = key.digest
        if digest in self._running:
            raise KeyBusyError("The first request with this Idempotency-Key is still running.")
        self._running.add(digest)
        try:
            return await self._find_or_do(key, work)
        finally:
            self._running.discard(digest)

    async def purge(self) -> int:
        """Forget some of the keys that have expired; the number of them."""
        async with self._database.transaction() as transaction:
            return await transaction.execute(SQL["purge"], (PURGED_AT_ONCE,))

    async def _find_or_do(self, key: Key, work: Work) -> Reply:
        async def attempt(transaction: Transaction) -> Reply:
            found = await self._find(transaction, key)
            return found or await self._do(transaction, key, work)

        try:
            return await self._database.run(attempt)
        except CommitUnknownError as unknown:
            # With a key one can look: the rows are there if the key is.
            try:
                async with asyncio.timeout(LOOK_SECONDS):
                    return await self._database.run(attempt)
            except (TimeoutError, UnavailableError):
                raise unknown from None

    async def _find(self, transaction: Transaction, key: Key) -> Reply | None:
        for fingerprint, status, body, alive in await transaction.fetch(SQL["find"], (key.digest,)):
            if not alive:
                await transaction.execute(SQL["delete_expired"], (key.digest,))
            elif fingerprint != key.fingerprint:
                raise KeyReusedError("This Idempotency-Key came with another request before.")
            else:
                return Reply(status, body.encode(), replayed=True)
        return None

    async def _do(self, transaction: Transaction, key: Key, work: Work) -> Reply:
        reply = await work(transaction)
        row = (key.digest, key.fingerprint, key.user, key.route, key.text)
        try:
            await transaction.execute(
                SQL["insert"], (*row, reply.status, reply.body.decode(), self._hours)
            )
        except DuplicateError as error:
            # Another process was quicker: undo this, and find its reply.
            raise ContentionError("This key was taken meanwhile.") from error
        return reply
