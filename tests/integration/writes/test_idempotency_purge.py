"""Purging expired keys, in a module without a service, which would purge them as well."""

from __future__ import annotations

from service.core.database.statements import Transaction
from service.core.database.transactions import Database
from service.core.writes.idempotency import PURGE_LIMIT, SQL, Key, Keys, Reply


async def _work(_: Transaction) -> Reply:
    return Reply(201, b"done")


async def test_expired_keys_are_purged_in_small_batches(database: Database) -> None:
    keys, kept = Keys(database, 24), Key("admin", "POST /jobs", "kept", "fingerprint")
    gone = [
        (f"{at:064}", "fingerprint", "admin", "POST /jobs", "gone", 201, "done", -1)
        for at in range(2 * PURGE_LIMIT + 5)
    ]
    async with database.transaction() as transaction:
        for row in gone:
            await transaction.execute(SQL["insert"], row)
    await keys.once(kept, _work)
    assert [await keys.purge() for _ in range(4)] == [PURGE_LIMIT, PURGE_LIMIT, 5, 0]
    assert (await keys.once(kept, _work)).replayed
