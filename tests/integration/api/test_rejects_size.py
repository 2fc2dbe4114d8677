"""The size of a page of rejects is limited; a single reject is complete."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence

import httpx
import msgspec
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from service.core.database.transactions import Database
from service.core.rules.fields import Error
from service.core.rules.reject import Reject
from service.core.settings import Settings
from service.core.tables import TABLES
from service.core.writes.rejects import RejectOrigin, log_rejects
from service.web.api.rejects.routes import CHUNK, PAGE_BYTES, SHOWN
from tests.support.load import PASSWORD, USER, started
from tests.support.processes import peak
from tests.support.program import Service

ONE = [Error(None, "malformed", "is no row")]
LONG = 4 << 20
ENDS = ["a", "é", "😀", "\u0001", '"', "\\"]
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


async def put(database: Database, record: str, errors: list[Error] = ONE, count: int = 1) -> None:
    """This many equal rejects."""
    for start in range(0, count, 100):
        several = [Reject(at, record, errors) for at in range(start, min(count, start + 100))]
        async with database.transaction() as transaction:
            await log_rejects(transaction, TABLES[0], several, RejectOrigin("api", "POST /x"))


@pytest.fixture
async def served(database: Database, migrated: Settings) -> AsyncIterator[Service]:
    """The service in a separate process."""
    service = await started(migrated)
    yield service
    assert (await service.end()).code == 0


async def test_long_records_do_not_enlarge_pages_or_the_process(
    served: Service, database: Database
) -> None:
    for at in range(40):
        await put(database, f"{at}" + "x" * LONG)
    async with served.client(USER, PASSWORD) as client:
        await client.get("/console/rejects")
        before = peak(served.pid)
        listed = await client.get("/rejects?limit=1000")
        console = await client.get("/console/rejects")
    assert len(listed.json()["rows"]) == 40
    assert len(listed.content) <= PAGE_BYTES + 1000
    assert console.status_code == 200
    assert len(console.content) < 1 << 20
    assert peak(served.pid) - before < 32


async def test_a_long_reject_is_sent_in_parts(served: Service, database: Database) -> None:
    record = '"' + "é\\u0001" * (16 << 16) + '😀"'
    await put(database, record)
    async with served.client(USER, PASSWORD) as client:
        (listed,) = (await client.get("/rejects")).json()["rows"]
        before = peak(served.pid)
        async with client.stream("GET", f"/rejects/{listed['id']}") as reply:
            body = b"".join([piece async for piece in reply.aiter_bytes()])
    assert msgspec.json.decode(body)["record"] == record
    assert peak(served.pid) - before < 24


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("length", [SHOWN - 1, SHOWN, SHOWN + 1, CHUNK, CHUNK + 1])
async def test_a_truncated_record_is_marked_and_is_complete_by_itself(
    api: httpx.AsyncClient, database: Database, length: int, end: str
) -> None:
    record = end * length
    await put(database, record)
    (listed,) = (await api.get("/rejects")).json()["rows"]
    assert listed["record"] == record[:SHOWN]
    assert listed["record_length"] == length
    assert listed["truncated"] is (length > SHOWN)
    whole = (await api.get(f"/rejects/{listed['id']}")).json()
    assert whole == listed | {"record": record, "truncated": False}
    assert list(whole) == list(listed)


@hypothesis_settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    record=TEXTS,
    errors=st.lists(
        st.builds(
            Error,
            st.one_of(st.none(), TEXTS, st.just("f" * SHOWN)),
            st.just("malformed"),
            st.one_of(TEXTS, st.just("m" * (SHOWN // 3))),
        ),
        min_size=1,
        max_size=12,
    ),
)
async def test_as_many_errors_are_shown_as_fit(
    api: httpx.AsyncClient, database: Database, record: str, errors: list[Error]
) -> None:
    await put(database, record, errors)
    expected = msgspec.to_builtins(errors)
    listed = (await api.get("/rejects?limit=1000")).json()["rows"][-1]
    shown = listed["errors"]
    assert shown == expected[: len(shown)]
    assert listed["error_count"] == len(errors)
    assert listed["truncated"] is (len(shown) < len(errors))
    # An engine may keep JSON with a space behind each colon and comma.
    if len(msgspec.json.encode(errors).decode()) + 7 * len(errors) <= SHOWN:
        assert shown == expected
    whole = (await api.get(f"/rejects/{listed['id']}")).json()
    assert whole == listed | {"errors": expected, "truncated": False}


@pytest.mark.parametrize(("text", "count"), [("x", 1), ("😀", 2), ("\u0001", 3)])
async def test_a_full_page_is_followed_by_the_next(
    api: httpx.AsyncClient, database: Database, text: str, count: int
) -> None:
    await put(database, text * SHOWN, count=450)
    pages = [page async for page in _pages(api)]
    assert [row["position"] for page in pages for row in page] == list(range(450))
    for page in pages:
        assert len(msgspec.json.encode(page)) <= PAGE_BYTES + len("[]")
    assert len(pages) == count


async def _pages(api: httpx.AsyncClient) -> AsyncIterator[Sequence[dict[str, object]]]:
    after: int | None = 0
    while after is not None:
        body = (await api.get(f"/rejects?limit=1000&after={after}")).json()
        yield body["rows"]
        after = body["next"]


@pytest.mark.parametrize("key", ["0", "1", f"{2**63 - 1}", f"{2**63}", "9" * 40])
async def test_a_missing_reject_is_404(api: httpx.AsyncClient, key: str) -> None:
    reply = await api.get(f"/rejects/{key}")
    assert reply.status_code == 404
    assert reply.headers["Content-Type"] == "application/problem+json"


async def test_the_console_links_to_the_whole_reject(
    api: httpx.AsyncClient, database: Database
) -> None:
    await put(database, "x" * LONG)
    page = (await api.get("/console/rejects", headers={"Accept": "text/html"})).text
    (address,) = re.findall(r'href="(/rejects/\d+)"', page)
    assert len((await api.get(address)).json()["record"]) == LONG
