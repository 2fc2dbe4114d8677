"""ids[i] is the id of row i: with concurrent writers, with any step of ids, with long rows."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

import httpx
import msgspec
import pytest

from service.core.database.driver import Connection, Cursor
from service.core.database.statements import Transaction
from service.core.database.transactions import Database
from service.core.rules import batch
from service.core.tables import by_path
from service.core.writes.ingest import ingest
from service.core.writes.rejects import RejectOrigin
from tests.support.hires import MOMENT, add_parents, hire, names

Client = httpx.AsyncClient
SetSteps = Callable[..., None]
EMPLOYEES = by_path("employees")
SET_STEP = "SET SESSION auto_increment_increment = {}, auto_increment_offset = {}"


@pytest.fixture(autouse=True)
async def _parents(database: Database) -> None:
    await add_parents(database, range(1, 2))


@pytest.fixture
def set_steps(monkeypatch: pytest.MonkeyPatch) -> SetSteps:
    """Sets one of these steps of ids before each statement of each connection.

    So does a cluster that changes its size.
    """
    query, chosen = Connection.query, random.Random(0)

    def set_steps(*steps: int) -> None:
        async def stepping(self: Connection, sql: str | bytes, unbuffered: bool = False) -> Any:
            step, offset = chosen.choice(steps), chosen.randint(1, 4)
            await query(self, SET_STEP.format(step, offset))
            return await query(self, sql, unbuffered)

        monkeypatch.setattr(Connection, "query", stepping)

    return set_steps


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


async def write(database: Database, writer: str, rows: int = 300, times: int = 1) -> dict[int, str]:
    """Names by the id that a writer got; each fifth row is refused; `times` batches at once."""
    written: dict[int, str] = {}

    async def work(transaction: Transaction) -> None:
        written.clear()
        for time in range(times):
            called = [f"{writer}-{time}-{at}" for at in range(rows)]
            hires = [hire(name=name, job_id=1 + (at % 5 == 0)) for at, name in enumerate(called)]
            validated = batch.from_json(EMPLOYEES, msgspec.json.encode(hires))
            verdict = await ingest(transaction, validated, RejectOrigin("api", "test"))
            assert [at for at, key in enumerate(verdict.ids) if key is None] == [*range(0, rows, 5)]
            written.update(
                {key: name for key, name in zip(verdict.ids, called, strict=True) if key}
            )

    await database.run(work)
    return written


async def write_at_once(database: Database, **sizes: int) -> dict[int, str]:
    """Names by the ids that four writers got at the same time."""
    written = await asyncio.gather(*(write(database, str(one), **sizes) for one in range(4)))
    return {key: name for one in written for key, name in one.items()}


async def test_ids_are_right_with_steps(database: Database, set_steps: SetSteps) -> None:
    set_steps(3)
    written = await write_at_once(database)
    assert len(written) == 4 * 240
    assert written == await names(database)


@pytest.mark.parametrize("step", [1, 2, 7])
@pytest.mark.parametrize("offset", [1, 2, 9])
async def test_ids_are_right_if_the_step_changes_between_batches(
    database: Database, step: int, offset: int
) -> None:
    async with database.reserved() as one:
        written = await write(one, "before", 20)
        await one.fetch(SET_STEP.format(step, offset))
        written |= await write(one, "after", 20)
    assert written == await names(database)
    assert len(written) == 32


@pytest.mark.parametrize("step", [2, 7])
async def test_ids_are_right_if_the_step_changes_inside_a_transaction(
    database: Database, step: int
) -> None:
    async with database.transaction() as transaction:
        rows = [(f"{at}", MOMENT.removesuffix("Z"), 1, 1) for at in range(10)]
        before = await transaction.insert_new(EMPLOYEES.sql["insert"], rows[:5])
        await transaction.execute(f"SET SESSION auto_increment_increment = {step}")
        after = await transaction.insert_new(EMPLOYEES.sql["insert"], rows[5:])
        await transaction.execute("SET SESSION auto_increment_increment = 1")
    written = zip([*before, *after], (name for name, *_ in rows), strict=True)
    assert dict(written) == await names(database)
    assert (before.step, after.step) == (1, step)


@pytest.mark.parametrize("steps", [(2, 3), (1, 2, 3, 7)])
async def test_ids_are_right_if_the_step_changes_before_every_statement(
    database: Database, set_steps: SetSteps, steps: tuple[int, ...]
) -> None:
    """Also between the refusal of an insert and the question for the step, and back again."""
    set_steps(*steps)
    written = await write_at_once(database, rows=30, times=8)
    assert len(written) == 4 * 8 * 24
    assert written == await names(database)


VALUES: list[tuple[str, list[Any]]] = [
    ("VARCHAR(255)", ["", " x ", "12", "😀" * 255, "Ünï \\ ' \" %s %", None]),
    ("BIGINT", [-(2**63), 2**63 - 1, 2**53 + 1, 0, None]),
    ("INT", [-(2**31), 2**31 - 1, True, None]),
    ("DECIMAL(65, 30)", [f"-{'9' * 35}.{'9' * 30}", "0.1", "-0", None]),
    ("DATETIME(6)", ["1000-01-01T00:00:00", "9999-12-31T23:59:59.999999", None]),
    ("DATE", ["1000-01-01", "9999-12-31", None]),
    ("TINYINT(1)", [True, False, None]),
]


@pytest.mark.parametrize(("kind", "values"), VALUES, ids=[kind for kind, _ in VALUES])
async def test_the_first_row_is_stored_like_the_others(
    database: Database, kind: str, values: list[Any]
) -> None:
    """Its first value stands in an expression that checks the step of ids."""
    async with database.session(30) as session:
        await session.execute("DROP TABLE IF EXISTS probe")
        await session.execute(
            f"CREATE TABLE probe (id INT NOT NULL AUTO_INCREMENT, v {kind}, PRIMARY KEY (id)) "
            "DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin"
        )
        for value in values:
            await session.insert_new("INSERT INTO probe (v) VALUES (%s)", [(value,), (value,)])
            await session.insert_new("INSERT INTO probe (v) VALUES (%s)", [(value,)])
        stored = [value for (value,) in await session.fetch("SELECT v FROM probe ORDER BY id")]
        await session.execute("DROP TABLE probe")
    assert stored[0::3] == stored[1::3] == stored[2::3]
    assert len(set(stored)) == len(values)


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
