"""Idempotency keys: the transaction that writes the rows also stores the reply under its key."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import count
from typing import TypeVar

from msgspec import Struct

import sql
from service.core.database.retry import FAILOVER_SECONDS, backoff
from service.core.database.statements import Transaction, fetch_among
from service.core.database.transactions import Database
from service.core.errors import (
    CommitUnknownError,
    ContentionError,
    DatabaseError,
    DuplicateError,
    HirebaseError,
    KeyBusyError,
    KeyReusedError,
    MalformedError,
    UnavailableError,
)

T = TypeVar("T")

MAX_CHARACTERS = 255
PURGE_LIMIT = 1000
RECHECK_SECONDS = 5
"""The time to find out whether an unconfirmed COMMIT was done, before the client gets an error.

With several servers it is FAILOVER_SECONDS, because another one may have to take over first.
"""
MINUTES = 5
"""How long a transaction without a key is recorded: much longer than RECHECK_SECONDS."""
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
        with self.running(key):
            return await self._find_or_run(key, work)

    @contextmanager
    def running(self, key: Key) -> Iterator[None]:
        """Keep other requests with this key away; KeyBusyError if one is running."""
        digest = key.digest
        if digest in self._running:
            raise KeyBusyError(
                "The first request with this Idempotency-Key is still running. Try again shortly."
            )
        self._running.add(digest)
        try:
            yield
        finally:
            self._running.discard(digest)

    async def stored(self, transaction: Transaction, keys: Sequence[Key]) -> set[str]:
        """The digests of those keys that are stored, also of expired ones."""
        digests = [key.digest for key in keys]
        return {
            digest for (digest,) in await fetch_among(transaction.fetch, SQL["stored"], digests)
        }

    async def store(self, transaction: Transaction, replies: Sequence[tuple[Key, Reply]]) -> None:
        """Store new keys and the replies; ContentionError if another process stored one first."""

        def row(key: Key, reply: Reply) -> tuple[str | int, ...]:
            request = (key.digest, key.fingerprint, key.user, key.route, key.text)
            return (*request, reply.status, reply.body.decode(), self._hours * 60)

        await _insert(transaction, [row(key, reply) for key, reply in replies])

    async def purge(self) -> int:
        """Delete some of the expired keys and return their number."""

        async def purge(transaction: Transaction) -> int:
            return await transaction.execute(SQL["purge"], (PURGE_LIMIT,))

        return await self._database.run(purge, idempotent=True)

    async def confirmed(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        """Run `work` in a transaction. If its COMMIT is unconfirmed, find out whether it was done.

        The transaction also writes a short row that names the attempt. Its reply stays in memory.
        """
        digest, replies = hash_of(secrets.token_bytes(16)), list[T]()

        async def attempt(transaction: Transaction) -> T:
            if replies:
                for _, number, _, _ in await transaction.fetch(SQL["find"], (digest,)):
                    return replies[number]
            replies.append(await work(transaction))
            row = (digest, "", "", "", "", len(replies) - 1, "", MINUTES)
            await _insert(transaction, [row])
            return replies[-1]

        return await self._certain(digest, attempt)

    async def _find_or_run(self, key: Key, work: Work) -> Reply:
        async def attempt(transaction: Transaction) -> Reply:
            stored = await self._find(transaction, key)
            return stored or await self._run(transaction, key, work)

        try:
            return await self._certain(key.digest, attempt)
        except (DatabaseError, KeyReusedError):
            raise
        except HirebaseError:
            # It may fail because another process has done it since the look for the key.
            stored = await self._database.run(partial(self._find, key=key))
            if stored is None:
                raise
            return stored

    async def _certain(self, digest: str, attempt: Callable[[Transaction], Awaitable[T]]) -> T:
        """Run `attempt`, which finds what an earlier one did, until it is certain what was done.

        The next attempt finds the key exactly if the COMMIT was done: while the first transaction
        may still be committed, the second one cannot write the same key.
        """
        try:
            return await self._database.run(attempt)
        except CommitUnknownError as unknown:
            seconds = FAILOVER_SECONDS if self._database.several else RECHECK_SECONDS
            try:
                async with asyncio.timeout(seconds):
                    return await self._rerun(digest, attempt)
            except (TimeoutError, UnavailableError):
                raise unknown from None

    async def _rerun(self, digest: str, attempt: Callable[[Transaction], Awaitable[T]]) -> T:
        for number in count():
            try:
                return await self._database.run(attempt)
            except CommitUnknownError:
                pass
            except (UnavailableError, KeyReusedError):
                raise
            except Exception:  # any error: it may come from what the first attempt has changed
                if await self._is_ruled_out(digest):
                    raise
            # seekdb shows a row a moment after it has refused another one with the same key.
            await asyncio.sleep(backoff(number))
        raise AssertionError

    async def _is_ruled_out(self, digest: str) -> bool:
        """Whether no earlier attempt was committed. From now on, none can be.

        It writes an expired record under their key, and waits for a COMMIT that is running.
        """

        async def write(transaction: Transaction) -> None:
            await transaction.execute(SQL["delete_expired"], (digest,))
            await transaction.execute(SQL["insert"], (digest, "", "", "", "", 0, "", 0))

        try:
            await self._database.run(write)
        except DuplicateError:
            return False
        return True

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
        await self.store(transaction, [(key, reply)])
        return reply


async def _insert(transaction: Transaction, rows: Sequence[tuple[str | int, ...]]) -> None:
    if not rows:
        return
    parameters = [value for row in rows for value in row]
    try:
        await transaction.execute(sql.with_rows(SQL["insert"], len(rows)), parameters)
    except DuplicateError as error:
        # Another process or attempt stored the key first: roll back, and return its reply.
        raise ContentionError("Another process stored this key.") from error
