"""Every row of a batch has a result: its position and id, or its record and every error."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest
from litestar import Litestar
from litestar.testing import AsyncTestClient

from service.core.database.statements import Row, Transaction
from service.core.database.transactions import Database
from service.core.rules import batch
from service.core.tables import by_path
from service.core.writes.ingest import ingest
from service.core.writes.rejects import RejectOrigin
from tests.support.hires import MOMENT, add_parents, codes, count, hire, names

Client = AsyncTestClient[Litestar]
Spoil = Callable[[int], dict[str, Any]]

SPOILT: dict[str, Spoil] = {
    "by its own fault": lambda at: hire(name=" ", datetime=f"{at}"),
    "by a missing parent": lambda at: hire(department_id=100_000 + at, job_id=200_000),
}
REASONS = {
    "by its own fault": {("name", "blank"), ("datetime", "format")},
    "by a missing parent": {("department_id", "not_found"), ("job_id", "not_found")},
}


@pytest.fixture(autouse=True)
async def _parents(database: Database) -> None:
    await add_parents(database, range(1, 4))


def batch_of(bad: int, spoil: Spoil) -> list[dict[str, Any]]:
    """1,000 rows, the bad ones spread among the good."""
    return [
        spoil(at) if at * bad // 1000 != (at + 1) * bad // 1000 else hire(name=f"row {at}")
        for at in range(1000)
    ]


@pytest.mark.parametrize("why", SPOILT)
@pytest.mark.parametrize(("bad", "status"), [(0, 201), (1, 207), (500, 207), (1000, 422)])
async def test_of_a_thousand_rows_each_has_its_own_verdict(
    client: Client, database: Database, why: str, bad: int, status: int
) -> None:
    rows = batch_of(bad, SPOILT[why])
    reply = await client.post("/employees", json=rows)
    body = reply.json()
    failed = {failure["index"]: failure for failure in body["failures"]}
    assert reply.status_code == status
    assert (body["received"], body["inserted"], body["failed"]) == (1000, 1000 - bad, bad)
    assert len(failed) == bad == await count(database, "rejects")
    assert all(failure["record"] == rows[at] for at, failure in failed.items())
    assert all(codes(failure) == REASONS[why] for failure in failed.values())
    assert await names(database) == {
        body["ids"][at]: f"row {at}" for at in range(1000) if at not in failed
    }
    assert [at for at, key in enumerate(body["ids"]) if key is None] == sorted(failed)


class Recorder(Transaction):
    """Records the statements of a transaction."""

    def __init__(self, inner: Transaction):
        super().__init__(inner._connection, inner._deadline)
        self.statements: list[str] = []

    async def insert(
        self, statement: str, rows: Sequence[Row], *, parents_locked: bool = False
    ) -> None:
        self.statements.append(statement)
        await super().insert(statement, rows, parents_locked=parents_locked)

    async def insert_new(
        self, statement: str, rows: Sequence[Row], *, parents_locked: bool = False
    ) -> range:
        self.statements.append(statement)
        return await super().insert_new(statement, rows, parents_locked=parents_locked)

    async def _run(self, statement: str, parameters: Sequence[Any]) -> Any:
        self.statements.append(statement)
        return await super()._run(statement, parameters)


async def recorded(database: Database, body: bytes) -> Recorder:
    """The statements that validate and write a batch."""

    async def work(transaction: Transaction) -> Recorder:
        recorder = Recorder(transaction)
        validated = batch.from_json(by_path("employees"), body)
        msgspec.json.encode(
            (await ingest(recorder, validated, RejectOrigin("api", "test"))).rejects
        )
        return recorder

    return await database.run(work)


@pytest.mark.parametrize("why", SPOILT)
@pytest.mark.parametrize("bad", [0, 1, 500, 1000])
async def test_a_batch_takes_few_statements(database: Database, why: str, bad: int) -> None:
    recorder = await recorded(database, msgspec.json.encode(batch_of(bad, SPOILT[why])))
    # For each parent a count, and where one is missing which; the good rows; the bad ones.
    assert len(recorder.statements) <= 6


@pytest.mark.parametrize("why", SPOILT)
async def test_bad_rows_take_about_as_much_cpu_time_as_good_rows(
    database: Database, why: str
) -> None:
    async def seconds(bad: int) -> float:
        body, best = msgspec.json.encode(batch_of(bad, SPOILT[why])), 60.0
        for _ in range(5):
            start = time.process_time()
            await recorded(database, body)
            best = min(best, time.process_time() - start)
        return best

    good, *others = [await seconds(bad) for bad in (0, 1, 500, 1000)]
    assert max(others) < 20 * good


async def test_a_record_comes_back_byte_by_byte(client: Client, database: Database) -> None:
    rows = [
        b'{ "department" :\t1.50e0 }',
        b'{"department":"\\u0041\\/\\ud83d\\ude00 \xf0\x9f\x98\x80 \\u0007"}',
        b'{"department":"x","department":1,"big":1e999,"n":123456789012345678901234567890}',
        b'[ {"department": "x"} ]',
        b"-0.0",
    ]
    reply = await client.post("/departments", content=b"[" + b",\n".join(rows) + b"]")
    failures = msgspec.json.decode(reply.content, type=dict[str, msgspec.Raw])["failures"]
    raws = msgspec.json.decode(failures, type=list[dict[str, msgspec.Raw]])
    assert [bytes(raw["record"]) for raw in raws] == rows
    logged = await database.fetch("SELECT record FROM rejects ORDER BY position")
    assert [text.encode() for (text,) in logged] == rows


async def test_a_row_with_other_errors_also_has_those_of_missing_parents(client: Client) -> None:
    rows = [
        hire(name="", department_id=77),
        hire(department_id=77, job_id="1"),
        hire(datetime=MOMENT[:-1], department_id=3, job_id=88),
        hire(department_id=77, job_id=88),
        hire(),
    ]
    body = (await client.post("/employees", json=rows)).json()
    assert [codes(failure) for failure in body["failures"]] == [
        {("name", "blank"), ("department_id", "not_found")},
        {("department_id", "not_found"), ("job_id", "type")},
        {("datetime", "format"), ("job_id", "not_found")},
        {("department_id", "not_found"), ("job_id", "not_found")},
    ]
    assert [len(failure["errors"]) for failure in body["failures"]] == [2, 2, 2, 2]
    assert body["inserted"] == 1


async def test_atomic_is_all_or_nothing(client: Client, database: Database) -> None:
    rows = [hire(), hire(name=" "), hire(job_id=99)]
    reply = await client.post("/employees?mode=atomic", json=rows)
    body = reply.json()
    assert reply.status_code == 422
    assert (body["inserted"], body["failed"], body["ids"]) == (0, 2, [None, None, None])
    assert [failure["index"] for failure in body["failures"]] == [1, 2]
    assert (await count(database, "hired_employees"), await count(database, "rejects")) == (0, 2)
    reply = await client.post("/employees?mode=atomic", json=[hire(), hire()])
    assert reply.status_code == 201
    assert sorted(reply.json()["ids"]) == sorted(await names(database))


async def test_an_unknown_mode_is_refused(client: Client, database: Database) -> None:
    reply = await client.post("/employees?mode=some", json=[hire()])
    assert reply.status_code == 400
    assert await count(database, "hired_employees") == 0


@pytest.mark.parametrize("mode", ["partial", "atomic"])
async def test_a_dry_run_checks_parents_and_writes_nothing(
    client: Client, database: Database, mode: str
) -> None:
    rows = [hire(), hire(name=""), hire(job_id=99)]
    url = f"/employees?dry_run=true&mode={mode}"
    reply = await client.post(url, json=rows, headers={"Idempotency-Key": "dry"})
    body = reply.json()
    assert reply.status_code == 200
    assert [codes(failure) for failure in body["failures"]] == [
        {("name", "blank")},
        {("job_id", "not_found")},
    ]
    assert (body["received"], body["failed"], body["inserted"]) == (3, 2, 0)
    for table in ("hired_employees", "rejects", "idempotency_keys"):
        assert await count(database, table) == 0


@pytest.mark.parametrize("lines", [["respond-async, return=minimal"], ["wait=5", "Return=Minimal"]])
async def test_minimal_replies_have_counts_and_failures_alone(
    client: Client, lines: list[str]
) -> None:
    rows = [hire(), hire(name="")]
    headers = [("Prefer", line) for line in lines]
    reply = await client.post("/employees", json=rows, headers=headers)
    assert reply.headers["Preference-Applied"] == "return=minimal"
    assert set(reply.json()) == {"received", "inserted", "failed", "failures"}
    assert [failure["index"] for failure in reply.json()["failures"]] == [1]
    full = await client.post("/employees", json=rows)
    assert "Preference-Applied" not in full.headers
    assert full.json()["ids"][1] is None


async def test_a_row_with_many_unknown_fields_has_few_errors(
    client: Client,
) -> None:
    row = {"job": "Clerk"} | {f"f{at}": at for at in range(100_000)}
    reply = await client.post("/jobs", json=[row, {"job": "Clerk"}])
    (failure,) = reply.json()["failures"]
    assert reply.status_code == 207
    assert len(failure["errors"]) == 21
    assert "99980 more" in failure["errors"][-1]["message"]


async def test_a_batch_beyond_the_last_id_has_a_result(client: Client, database: Database) -> None:
    async with database.transaction() as transaction:
        await transaction.execute("INSERT INTO jobs (id, job) VALUES (2147483646, 'last')")
    for rows in ([{"job": "a"}, {"job": "b"}, {"job": "c"}], [{"job": "d"}]):
        reply = await client.post("/jobs", json=rows)
        assert reply.status_code in {201, 207, 422}
