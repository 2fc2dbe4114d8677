"""The lock of restores: they run one at a time, over all processes and replicas."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

from service.core.backups.staged.definition import SQL as RESTORES
from service.core.database.statements import SQL, Transaction
from service.core.database.transactions import Database
from service.core.errors import ContentionError, DatabaseError, UnavailableError
from service.core.threads import wait_for_all

T = TypeVar("T")

SECONDS = 24 * 3600
BEAT_SECONDS = 5
LOST_SECONDS = 10
"""If the server does not answer for this long, the lock is lost."""
LOST = "The connection that holds the lock of restores was lost. Try again shortly."


async def locked(database: Database, work: Callable[[], Awaitable[T]], owner: str) -> T:
    """Run `work` while a separate transaction holds the lock; ContentionError if another has it.

    owner: the same in all attempts of a restore, so that none waits for the lease of the last one.
    UnavailableError as soon as the transaction is lost: then another restore may run.
    """
    async with database.reserved() as own, own.session(SECONDS) as lock:
        await lock.begin()
        await lock.execute(SQL["lock_restores"])
        lease = await _lease(database, owner)
        if lease:
            await lease.renew()
        result = await _while_held(lock, lease, work)
        with suppress(DatabaseError):  # the work is done
            await lock.commit()
            if lease:
                await lease.end()
        return result


async def unless_held(database: Database, work: Callable[[], Awaitable[None]]) -> None:
    """Run `work` under the lock; ContentionError at once if a restore has it."""
    async with database.reserved() as own, own.transaction(SECONDS) as lock:
        if not await lock.fetch(RESTORES["lock_unless_held"]):
            raise ContentionError("The row of the lock is not there, or not committed yet.")
        if lease := await _lease(database, new_owner()):
            await lease.check()
        await _while_held(lock, None, work)


class Lease:
    """A lock that every node of Galera knows, because it is committed again and again.

    A node of Galera does not know the locks of transactions on other nodes.
    """

    def __init__(self, database: Database, owner: str):
        self._database, self._owner = database, owner

    async def check(self) -> None:
        """ContentionError if another restore has it."""
        if await self._database.fetch(RESTORES["lease_of_others"], (self._owner,)):
            raise ContentionError("A restore is running on another node.")

    async def renew(self) -> None:
        """Take it or keep it; ContentionError if another restore has it."""
        await self._execute("renew_lease")
        await self.check()

    async def end(self) -> None:
        """Give it back."""
        await self._execute("end_lease")

    async def _execute(self, name: str) -> None:
        await self._database.run(
            lambda transaction: transaction.execute(RESTORES[name], (self._owner,)),
            idempotent=True,
        )


def new_owner() -> str:
    """A name that no other owner of the lock has."""
    return secrets.token_hex(16)


async def _lease(database: Database, owner: str) -> Lease | None:
    """A lease, if the server is a node of Galera."""
    return Lease(database, owner) if await database.fetch(SQL["galera_is_on"]) else None


async def _while_held(
    lock: Transaction, lease: Lease | None, work: Callable[[], Awaitable[T]]
) -> T:
    ended = asyncio.Event()
    working = asyncio.ensure_future(work())
    beating = asyncio.ensure_future(_beat(lock, lease, ended))
    try:
        await asyncio.wait([working, beating], return_when=asyncio.FIRST_COMPLETED)
    finally:
        if not working.done():
            working.cancel()
        ended.set()
        await wait_for_all(working, beating)
    if working.cancelled():
        beating.result()
        raise UnavailableError(LOST)
    return working.result()


async def _beat(lock: Transaction, lease: Lease | None, ended: asyncio.Event) -> None:
    """Use the connection regularly, so that nothing closes it and its loss is noticed."""
    while not ended.is_set():
        with suppress(TimeoutError):
            async with asyncio.timeout(BEAT_SECONDS):
                await ended.wait()
        try:
            async with asyncio.timeout(LOST_SECONDS):
                # This reads a table: seekdb answers SELECT 1 even if it has ended the transaction.
                await lock.fetch(SQL["applied_migrations"])
                if lease and not ended.is_set():
                    await lease.renew()
        except TimeoutError as error:
            raise UnavailableError(LOST) from error
