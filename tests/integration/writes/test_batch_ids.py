"""ids[i] is the id of row i: with concurrent writers, with any step of ids, with long rows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import msgspec
import pytest

from service.core.database.driver import Cursor
from service.core.database.pool import Pool
from service.core.database.transactions import Database, Transaction
from service.core.rules import batch
from service.core.tables import by_path
from service.core.writes.ingest import Verdict, ingest
from service.core.writes.rejects import RejectOrigin
from tests.support.hires import add_parents, hire, names

Client = httpx.AsyncClient
EMPLOYEES = by_path("employees")


@pytest.fixture(autouse=True)
async def _parents(database: Database) -> None:
    await add_parents(database, range(1, 2))


@pytest.fixture
async def stepping(database: Database) -> AsyncIterator[Database]:
    """Connections with generated ids in steps of three, as in a cluster with several writers."""
    servers, options = database.pool.servers, database.pool._conn_kwargs
    pool = Pool(4, servers, **options, init_command="SET SESSION auto_increment_increment = 3")
    yield Database(pool, 30)
    pool.terminate()
    await pool.wait_closed()


async def test_ids_are_right_with_eight_writers_at_once(api: Client, database: Database) -> None:
    async def write(writer: int) -> dict[int, str]:
        written: dict[int, str] = {}
        for number in range(4):
            called = [f"{writer}-{number}-{at}" for at in range(150)]
            # Every seventh is refused, so that the others' ids close up.
            rows = [hire(name=" " if at % 7 == 3 else name) for at, name in enumerate(called)]
            ids = (await api.post("/employees", json=rows)).json()["ids"]
            assert [at for at, key in enumerate(ids) if key is None] == list(range(3, 150, 7))
            written |= {key: name for key, name in zip(ids, called, strict=True) if key}
        return written

    written = await asyncio.gather(*map(write, range(8)))
    together = {key: name for one in written for key, name in one.items()}
    assert len(together) == 8 * 4 * (150 - 21)
    assert together == await names(database)


async def test_ids_are_right_with_steps(stepping: Database, database: Database) -> None:
    async def write(writer: int) -> dict[int, str]:
        rows = [hire(name=f"{writer}-{at}", job_id=1 + (at % 5 == 0)) for at in range(300)]
        validated = batch.from_json(EMPLOYEES, msgspec.json.encode(rows))

        async def work(transaction: Transaction) -> Verdict:
            return await ingest(transaction, validated, RejectOrigin("api", "test"))

        ids = (await stepping.run(work)).ids
        return {key: str(row["name"]) for key, row in zip(ids, rows, strict=True) if key}

    written = await asyncio.gather(*map(write, range(4)))
    together = {key: name for one in written for key, name in one.items()}
    assert len(together) == 4 * 240
    assert together == await names(database)
    assert all(sorted(one)[1] - min(one) >= 3 for one in written)


@pytest.mark.parametrize("limit", [1, 3000, 20_000, 200_000])
async def test_ids_are_right_if_a_batch_takes_several_statements(
    api: Client, database: Database, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    monkeypatch.setattr(Cursor, "max_stmt_length", limit)
    called = [f"{at:04}{'x' * (at % 250)}" for at in range(300)]
    rows = [hire(name=name, job_id=1 + (at % 7 == 3)) for at, name in enumerate(called)]
    ids = (await api.post("/employees", json=rows)).json()["ids"]
    assert [at for at, key in enumerate(ids) if key is None] == list(range(3, 300, 7))
    written = {key: name for key, name in zip(ids, called, strict=True) if key}
    assert written == await names(database)


@pytest.mark.parametrize("text", ["𠜎", "'", "\\", '"', "%"])
async def test_ids_are_right_with_the_longest_rows(
    api: Client, database: Database, text: str
) -> None:
    called = [f"{at:04}{text * 251}" for at in range(1000)]
    reply = await api.post("/employees", json=[hire(name=name) for name in called])
    ids = reply.json()["ids"]
    assert reply.status_code == 201
    assert ids == sorted(set(ids))
    assert dict(zip(ids, called, strict=True)) == await names(database)
