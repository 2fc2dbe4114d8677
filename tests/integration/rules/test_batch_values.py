"""Values are stored as they were sent or refused, never changed."""

from __future__ import annotations

import msgspec
import pytest
from litestar import Litestar
from litestar.testing import AsyncTestClient

from service.core.database.transactions import Database
from service.core.tables import TABLES, by_path
from tests.support.hires import add_parents, codes, count, hire

Client = AsyncTestClient[Litestar]


@pytest.fixture(autouse=True)
async def _parents(database: Database) -> None:
    await add_parents(database, range(1, 4))


TEXTS = [
    "😀" * 255,
    "𠜎" * 255,
    'O\'Brien "the" \\ back\\\\slash',
    "%s %d %(name)s %% {0} ${x}",
    "مرحبا بالعالم \u200f\u202eabc",
    "'); DROP TABLE departments; -- ",
    " leading and trailing  ",
    "e\u0301 é ß ẞ İ ı",
    "\u00a0\u3000x",
    "\u2028\u2029",
    "x" * 255,
    "null",
    "0",
    "\ufeffbom",
    "?:@`",
]


@pytest.mark.parametrize("path", [table.path for table in TABLES])
async def test_texts_are_returned_as_sent(client: Client, database: Database, path: str) -> None:
    table = by_path(path)
    field = table.columns[1]
    rows = [hire(name=text) if path == "employees" else {field: text} for text in TEXTS]
    reply = await client.post(f"/{path}", json=rows)
    ids = reply.json()["ids"]
    assert [TEXTS[failure["index"]] for failure in reply.json()["failures"]] == ["\u2028\u2029"]
    kept = {key: text for key, text in zip(ids, TEXTS, strict=True) if key}
    found = await database.fetch(f"SELECT id, {field} FROM {table.name}")
    shown = {
        row["id"]: row[field] for row in (await client.get(f"/{path}?limit=99")).json()["rows"]
    }
    assert dict(found).items() >= kept.items()
    assert shown.items() >= kept.items()
    assert [(await client.get(f"/{path}/{key}")).json()[field] for key in kept] == list(
        kept.values()
    )


@pytest.mark.parametrize(
    ("moment", "stored"),
    [
        ("1000-01-01T00:00:00Z", "1000-01-01T00:00:00Z"),
        ("9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999Z"),
        ("1000-01-01T14:00:00+14:00", "1000-01-01T00:00:00Z"),
        ("2021-03-01T00:30:00+05:45", "2021-02-28T18:45:00Z"),
        ("2020-02-29T23:59:59.1-12:00", "2020-03-01T11:59:59.100000Z"),
        ("2021-07-27T16:02:08.000001Z", "2021-07-27T16:02:08.000001Z"),
    ],
)
async def test_moments_are_stored_in_utc(client: Client, moment: str, stored: str) -> None:
    reply = await client.post("/employees", json=hire(datetime=moment))
    assert reply.status_code == 201
    row = (await client.get(f"/employees/{reply.json()['ids'][0]}")).json()
    assert row["datetime"] == stored


@pytest.mark.parametrize(
    "number",
    ["1e400", "1e99999999999999999999", "-1e-99999999999999999999", "1" * 5000, "1.0", "-0", "1e0"],
)
@pytest.mark.parametrize("kind", ["application/json", "application/x-ndjson"])
async def test_a_number_that_is_no_id_rejects_only_its_row(
    client: Client, database: Database, kind: str, number: str
) -> None:
    rows = [
        msgspec.json.encode(hire(job_id=77)).decode().replace("77", number),
        msgspec.json.encode(hire(x=77)).decode().replace("77", number),
        msgspec.json.encode(hire()).decode(),
    ]
    body = "\n".join(rows) if kind.endswith("ndjson") else f"[{','.join(rows)}]"
    reply = await client.post("/employees", content=body, headers={"Content-Type": kind})
    assert reply.status_code == 207
    failures = msgspec.json.decode(reply.content, type=dict[str, msgspec.Raw])["failures"]
    first, second = msgspec.json.decode(failures, type=list[dict[str, msgspec.Raw]])
    assert b'"job_id","code":"' in bytes(first["errors"])
    assert b'"x","code":"unknown_field"' in bytes(second["errors"])
    assert [bytes(one["record"]).decode() for one in (first, second)] == rows[:2]
    assert await count(database, "hired_employees") == 1


@pytest.mark.parametrize(
    ("moment", "code"),
    [
        ("0001-01-01T00:00:00+14:00", "out_of_range"),
        ("0999-12-31T23:59:59.999999Z", "out_of_range"),
        ("1000-01-01T00:00:00+00:01", "out_of_range"),
        ("9999-12-31T23:59:59-01:00", "out_of_range"),
        ("2021-07-27T24:00:00Z", "format"),
        ("2021-07-27T23:59:60Z", "format"),
        ("2021-07-27T16:02:08.1234567Z", "format"),
        ("2021-02-29T00:00:00Z", "format"),
        ("2021-13-01T00:00:00Z", "format"),
        ("2021-07-27T16:02:08", "format"),
        ("2021-07-27", "format"),
        ("2021-07-27T16:02:08+24:00", "format"),
        ("0000-00-00T00:00:00Z", "format"),
        ("10000-01-01T00:00:00Z", "format"),
        ("２０２１-07-27T16:02:08Z", "format"),
        ("", "format"),
        ("now", "format"),
    ],
)
async def test_other_moments_are_rejected_and_never_changed(
    client: Client, database: Database, moment: str, code: str
) -> None:
    reply = await client.post("/employees", json=[hire(datetime=moment), hire()])
    (failure,) = reply.json()["failures"]
    assert reply.status_code == 207
    assert codes(failure) == {("datetime", code)}
    assert await count(database, "hired_employees") == 1
