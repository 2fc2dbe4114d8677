"""The lock of restores: they run one at a time, over all processes and replicas."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

from service.core.backups.staged.definition import SQL as RESTORES
from service.core.database.statements import SQL, Transaction
from service.core.database.transactions import Database
from service.core.errors import DatabaseError, UnavailableError
from service.core.threads import wait_for_all

T = TypeVar("T")

SECONDS = 24 * 3600
BEAT_SECONDS = 5
LOST_SECONDS = 10
"""A server that does not answer for so long has lost the lock."""


async def locked(database: Database, work: Callable[[], Awaitable[T]]) -> T:
    """Run `work` while a transaction of its own holds the lock; ContentionError if another does.

    UnavailableError as soon as the transaction is lost: then another restore may run.
    """
    async with database.reserved() as own, own.session(SECONDS) as lock:
        await lock.begin()
        await lock.execute(SQL["lock_restores"])
        result = await _while_held(lock, work)
        with suppress(DatabaseError):  # the work is done
            await lock.commit()
        return result


async def unless_held(database: Database, work: Callable[[], Awaitable[None]]) -> None:
    """Run `work` under the lock; ContentionError at once if a restore has it."""
    async with database.reserved() as own, own.transaction(SECONDS) as lock:
        await lock.fetch(RESTORES["lock_unless_held"])
        await _while_held(lock, work)


async def _while_held(lock: Transaction, work: Callable[[], Awaitable[T]]) -> T:
    ended = asyncio.Event()
    working, beating = asyncio.ensure_future(work()), asyncio.ensure_future(_beat(lock, ended))
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


LOST = "The connection that holds the lock of restores was lost. Try again shortly."


async def _beat(lock: Transaction, ended: asyncio.Event) -> None:
    """Use the connection now and then, so that nothing closes it and a loss is noticed."""
    while not ended.is_set():
        with suppress(TimeoutError):
            async with asyncio.timeout(BEAT_SECONDS):
                await ended.wait()
        try:
            async with asyncio.timeout(LOST_SECONDS):
                await lock.fetch(SQL["ping"])
        except TimeoutError as error:
            raise UnavailableError(LOST) from error
