"""Small batches that share a transaction: each gets what it would get alone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import msgspec
import pytest

from service.core.database.connect import connect
from service.core.database.statements import Transaction
from service.core.database.transactions import Database
from service.core.errors import DatabaseError, KeyBusyError
from service.core.settings import Settings
from service.core.writes import group_commit
from service.core.writes.group_commit import TRANSACTIONS
from service.core.writes.idempotency import Key, Reply
from tests.support.hires import add_parents, count
from tests.support.small_batches import Writer, find_rows, ids_of, names_of

pytestmark = pytest.mark.usefixtures("parents")

LOCK = "SELECT id FROM departments WHERE id = 2 FOR UPDATE"


@pytest.fixture
def writer(database: Database) -> Writer:
    return Writer(database)


@pytest.mark.parametrize("with_keys", [False, True])
async def test_batches_that_wait_are_written_in_one_transaction(
    writer: Writer, database: Database, with_keys: bool
) -> None:
    sizes = [1 + at % 7 for at in range(60)]
    texts = [[f"{at}.{n}" for n in range(size)] for at, size in enumerate(sizes)]
    replies = await asyncio.gather(
        *(writer.write(*t, key=t[0] if with_keys else None) for t in texts)
    )
    for given, reply in zip(texts, replies, strict=True):
        assert await names_of(database, reply) == given
    assert await count(database, "hired_employees") == sum(sizes)
    assert [reply.status for reply in replies] == [1] * TRANSACTIONS + [2] * (60 - TRANSACTIONS)
    assert await count(database, "idempotency_keys") == (60 if with_keys else 0)


async def test_a_key_of_a_group_has_its_reply(writer: Writer, database: Database) -> None:
    first = await writer.fill()
    old = await asyncio.gather(*(writer.write(f"n{at}", key=f"k{at}") for at in range(5)))
    await asyncio.gather(*first)
    first = await writer.fill()
    again = await asyncio.gather(*(writer.write(f"n{at}", key=f"k{at}") for at in range(9)))
    await asyncio.gather(*first)
    assert [(one.status, one.replayed) for one in again] == [(2, True)] * 5 + [(2, False)] * 4
    assert [one.body for one in again[:5]] == [one.body for one in old]
    assert await count(database, "hired_employees") == 2 * TRANSACTIONS + 9


async def test_a_key_is_busy_while_its_batch_waits(writer: Writer, database: Database) -> None:
    first = await writer.fill()
    one = asyncio.create_task(writer.write("n", key="k"))
    await asyncio.sleep(0)
    with pytest.raises(KeyBusyError):
        await writer.write("n", key="k")
    with pytest.raises(KeyBusyError):
        await writer.keys.once(Key("user", "POST", "k", "['n']"), _fail)
    await asyncio.gather(one, *first)
    assert (await writer.write("n", key="k")).replayed
    assert await count(database, "hired_employees") == TRANSACTIONS + 1


async def _fail(_transaction: Transaction) -> Reply:
    raise AssertionError


async def test_a_row_that_is_refused_affects_only_its_batch(
    writer: Writer, database: Database
) -> None:
    first = await writer.fill()
    good = [writer.write(f"n{at}", key=f"k{at}") for at in range(4)]
    bad = writer.write("x", "y", department_id=99, key="bad")
    *replies, refused = await asyncio.gather(*good, bad)
    await asyncio.gather(*first)
    assert msgspec.json.decode(refused.body) == [None, None]
    assert [await names_of(database, reply) for reply in replies] == [[f"n{n}"] for n in range(4)]
    assert await count(database, "rejects") == 2
    assert await count(database, "hired_employees") == TRANSACTIONS + 4
    assert await count(database, "idempotency_keys") == 5


async def test_an_error_that_one_row_causes_is_only_that_of_its_batch(
    writer: Writer, database: Database
) -> None:
    """An operator's trigger fails for one name, with a number that the service does not know."""
    await _execute(
        database,
        "CREATE TRIGGER of_a_dba BEFORE INSERT ON hired_employees FOR EACH ROW "
        "IF NEW.name = 'bad' THEN SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = 1365; END IF",
    )
    try:
        first = await writer.fill()
        tasks = [writer.write(name) for name in ("a", "bad", "b")]
        a, bad, b = await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*first)
    finally:
        await _execute(database, "DROP TRIGGER of_a_dba")
    assert type(bad) is DatabaseError
    assert isinstance(a, Reply)
    assert isinstance(b, Reply)
    assert await count(database, "hired_employees") == TRANSACTIONS + 2


async def _execute(database: Database, statement: str) -> None:
    async with database.transaction() as transaction:
        await transaction.execute(statement)


async def test_a_key_that_another_process_stores_meanwhile_is_replayed(
    writer: Writer, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, stored = Writer(database), writer.keys.stored

    async def overtaken(transaction: Transaction, keys: Sequence[Key]) -> set[str]:
        found = await stored(transaction, keys)
        await other.write("n2", key="k2")
        return found

    monkeypatch.setattr(writer.keys, "stored", overtaken)
    first = await writer.fill()
    replies = await asyncio.gather(*(writer.write(f"n{at}", key=f"k{at}") for at in range(4)))
    await asyncio.gather(*first)
    assert [one.replayed for one in replies] == [False, False, True, False]
    assert await count(database, "hired_employees") == TRANSACTIONS + 4


async def test_each_table_has_its_own_group(writer: Writer, database: Database) -> None:
    first = await writer.fill()
    paths = ["employees", "jobs", "departments"] * 5
    replies = await asyncio.gather(
        *(writer.write(f"{path} {at}", path=path) for at, path in enumerate(paths))
    )
    await asyncio.gather(*first)
    for at, (path, reply) in enumerate(zip(paths, replies, strict=True)):
        (row,) = await find_rows(database, path, ids_of(reply))
        assert f"{path} {at}" in row


async def test_a_group_has_few_enough_rows_for_a_statement(
    writer: Writer, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_commit, "small_rows", lambda _table: 5)
    sizes = list[int]()
    insert_new = Transaction.insert_new

    async def counted(self: Transaction, statement: str, rows: Sequence[tuple[object]]) -> range:
        sizes.append(len(rows))
        return await insert_new(self, statement, rows)

    monkeypatch.setattr(Transaction, "insert_new", counted)
    texts = [[f"{at}.{n}" for n in range(1 + at % 5)] for at in range(20)]
    replies = await asyncio.gather(*(writer.write(*some) for some in texts))
    for given, reply in zip(texts, replies, strict=True):
        assert await names_of(database, reply) == given
    assert max(sizes) == 5
    assert len(sizes) < len(texts)


async def test_a_cancelled_batch_leaves_the_others(writer: Writer, database: Database) -> None:
    first = await writer.fill()
    tasks = [asyncio.create_task(writer.write(f"n{at}", key=f"k{at}")) for at in range(6)]
    await asyncio.sleep(0)
    tasks[2].cancel()
    replies = await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.gather(*first)
    assert isinstance(replies.pop(2), asyncio.CancelledError)
    assert {one.status for one in replies if isinstance(one, Reply)} == {2}
    await writer.write("n2", key="k2")
    assert await count(database, "hired_employees") == TRANSACTIONS + 6


async def test_a_lock_delays_only_batches_that_need_it(
    migrated: Settings, database: Database
) -> None:
    """Transactions that wait for a lock make no others wait."""
    await add_parents(database, range(3, 4))
    async with connect(migrated) as other:
        writer = Writer(other)
        async with database.transaction() as transaction:
            await transaction.execute(LOCK)
            blocked = [
                asyncio.create_task(writer.write(f"b{n}", department_id=2))
                for n in range(TRANSACTIONS)
            ]
            await asyncio.sleep(0)
            began = time.monotonic()
            replies = await asyncio.gather(*(writer.write(f"n{at}") for at in range(20)))
            assert time.monotonic() - began < 2
            assert not any(task.done() for task in blocked)
        await asyncio.gather(*blocked)
    assert [await names_of(database, reply) for reply in replies] == [[f"n{n}"] for n in range(20)]
    assert await count(database, "hired_employees") == TRANSACTIONS + 20
