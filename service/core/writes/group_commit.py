"""Group commit: small batches that arrive while others are written share a transaction."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial

from service.core.database.statements import Transaction
from service.core.database.transactions import Database
from service.core.errors import (
    CommitUnknownError,
    DatabaseError,
    TransactionTooLarge,
    UnavailableError,
)
from service.core.rules.batch import Batch
from service.core.tables import Table
from service.core.threads import wait_for_all
from service.core.writes.idempotency import Key, Keys, Reply
from service.core.writes.insert import small_rows

TRANSACTIONS = 2
"""How many run before batches wait: one of them is sent while the other is committed."""
SLOW_SECONDS = 0.1
"""A transaction that takes longer may wait for a lock, so other batches wait for it no more."""


@dataclass(frozen=True, eq=False)
class Member:
    """A batch that waits. It has no rejects.

    key: of its request, if it has one. answer: makes the reply from the ids of its rows. reply:
    None if the batch must be written alone.
    """

    batch: Batch
    key: Key | None
    answer: Callable[[Sequence[int]], Reply]
    reply: asyncio.Future[Reply | None]


class NotTogether(Exception):
    """The server refused the rows of a group. Nothing is written."""


class GroupCommit:
    """Writes small batches: the first ones alone, and those that wait meanwhile together.

    If the server refuses a group, each of its batches is written alone.
    """

    def __init__(self, database: Database, keys: Keys):
        self._database = database
        self._keys = keys
        self._running: set[object] = set()
        self._waiting: dict[Table, list[Member]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def write(
        self,
        batch: Batch,
        key: Key | None,
        answer: Callable[[Sequence[int]], Reply],
        alone: Callable[[], Awaitable[Reply]],
    ) -> Reply:
        """The reply of `answer`, if the batch was written in a group, or of `alone`.

        batch: `is_small`. KeyBusyError, and the errors of `Database.run`.
        """
        if len(self._running) < TRANSACTIONS:
            with self._transaction():
                return await alone()
        with self._keys.running(key) if key else nullcontext():
            member = Member(batch, key, answer, asyncio.get_running_loop().create_future())
            self._waiting.setdefault(batch.table, []).append(member)
            reply = await member.reply
        return reply or await alone()

    async def close(self) -> None:
        """Wait for the transactions of groups."""
        await wait_for_all(*self._tasks)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        running = object()
        self._running.add(running)
        timer = asyncio.get_running_loop().call_later(SLOW_SECONDS, self._ended, running)
        try:
            yield
        finally:
            timer.cancel()
            self._ended(running)

    def _ended(self, running: object) -> None:
        self._running.discard(running)
        if len(self._running) >= TRANSACTIONS:
            return
        for group in self._groups():
            # An empty context, because the group belongs to several requests.
            task = asyncio.get_running_loop().create_task(
                self._write(group), context=contextvars.Context()
            )
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _groups(self) -> Iterator[list[Member]]:
        """All that wait, in as few groups as there are tables and statements."""
        waiting, self._waiting = self._waiting, {}
        for table, members in waiting.items():
            most, group, rows = small_rows(table), list[Member](), 0
            for member in members:
                rows += len(member.batch.rows)
                if rows > most:
                    yield group
                    group, rows = [], len(member.batch.rows)
                group.append(member)
            yield group

    async def _write(self, group: list[Member]) -> None:
        written = dict[Member, Reply]()
        error: Exception | None = None
        run = self._keys.confirmed if self._database.several else self._database.run
        try:
            with self._transaction():
                written = await run(partial(self._insert, group))
        except (NotTogether, TransactionTooLarge):
            pass
        except Exception as caught:
            error = caught
        for member in group:
            if member.reply.done():
                continue  # cancelled
            # A batch with a key can find out whether it was written.
            if error and not (member.key and isinstance(error, CommitUnknownError)):
                member.reply.set_exception(error)
            else:
                member.reply.set_result(written.get(member))

    async def _insert(self, group: list[Member], transaction: Transaction) -> dict[Member, Reply]:
        """Write the batches whose keys are new, and their replies."""
        try:
            keys = [member.key for member in group if member.key]
            stored = await self._keys.stored(transaction, keys)
            new = [one for one in group if not (one.key and one.key.digest in stored)]
            replies = await _insert_rows(transaction, new)
            await self._keys.store(
                transaction, [(one.key, reply) for one, reply in replies.items() if one.key]
            )
        except UnavailableError:
            raise
        except DatabaseError as error:  # any other: it may come from one row, by a trigger
            raise NotTogether from error
        return replies


async def _insert_rows(transaction: Transaction, group: list[Member]) -> dict[Member, Reply]:
    rows = [row for member in group for row in member.batch.rows]
    if not rows:
        return {}
    ids = iter(await transaction.insert_new(group[0].batch.table.sql["insert"], rows))
    return {one: one.answer([next(ids) for _ in one.batch.rows]) for one in group}
