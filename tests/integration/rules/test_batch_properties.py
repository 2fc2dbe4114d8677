"""Any JSON that is posted as a row is stored unchanged or rejected with an error."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, get_args

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.core.database.transactions import Database
from service.core.rules.field_types import Moment, Text, Whole
from service.core.rules.fields import Code
from service.core.rules.kind import Kind
from service.core.tables import TABLES, Field, Table
from tests.support.hires import add_parents

CODES = set(get_args(Code))

texts = st.one_of(
    st.text(max_size=20),
    st.text(st.characters(), min_size=1).map(lambda text: (text * 256)[:256]),
    st.text(st.characters(), min_size=1).map(lambda text: (text * 255)[:255]),
    st.sampled_from(["'", "\\", '"', "%s", "\x00", "\u202e\u0627", "\ud83d", "😀" * 255, "\u3000"]),
)
numbers = st.one_of(
    st.integers(1, 4),
    st.integers(),
    st.floats(),
    st.sampled_from([2**31 - 1, 2**31, 2**64, 10**400, 1.0]),
)
moments = st.one_of(
    st.datetimes().map(lambda moment: f"{moment.isoformat()}Z"),
    st.datetimes(timezones=st.timezones()).map(datetime.isoformat),
    st.builds(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}{}{}".format,
        st.sampled_from([0, 1, 999, 1000, 2021, 2024, 9999]),
        st.integers(0, 13),
        st.integers(0, 32),
        st.integers(0, 25),
        st.integers(0, 60),
        st.integers(0, 61),
        st.sampled_from(["", ".1", ".123456", ".1234567", ".000", ","]),
        st.sampled_from(["Z", "", "z", "+14:00", "-12:00", "+00:00", "-00:00", "+0530", "+24:00"]),
    ),
)
anything = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, texts, moments),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
LIKELY: dict[type[Kind], st.SearchStrategy[Any]] = {Whole: numbers, Text: texts, Moment: moments}


def rows_of(table: Table) -> st.SearchStrategy[Any]:
    """Rows with the right fields and likely values, and any other value."""
    fields = {known.name: LIKELY[type(known.kind)] | anything for known in table.fields}
    good = {known.name: LIKELY[type(known.kind)] for known in table.fields}
    return st.one_of(
        st.fixed_dictionaries(good),
        st.fixed_dictionaries(good),
        st.fixed_dictionaries({}, optional={**fields, "id": numbers, "extra": anything}),
        anything,
    )


def as_stored(known: Field, value: Any) -> Any:
    """The stored value of an accepted value."""
    if isinstance(known.kind, Moment):
        moment = datetime.fromisoformat(value).astimezone(UTC).replace(tzinfo=None)
        return f"{moment.isoformat()}Z"
    assert type(value) is (int if isinstance(known.kind, Whole) else str)
    return value


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.path)
@settings(
    max_examples=120,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
async def test_any_row_is_stored_unchanged_or_rejected_with_an_error(
    api: httpx.AsyncClient, database: Database, table: Table, data: st.DataObject
) -> None:
    await _parents_there(database)
    rows = data.draw(st.lists(rows_of(table), min_size=1, max_size=4))
    body = json.dumps(rows, ensure_ascii=data.draw(st.booleans())).encode(errors="surrogatepass")
    reply = await api.post(f"/{table.path}", content=body)
    if reply.status_code == 400:
        # No JSON: what Python writes of NaN, of infinity, of half a surrogate pair unescaped.
        with pytest.raises((UnicodeDecodeError, ValueError)):
            json.loads(body.decode(), parse_constant=_refuse)
        return
    verdict = json.loads(reply.content)
    rejected = {failure["index"]: failure for failure in verdict["failures"]}
    assert reply.status_code == (422 if len(rejected) == len(rows) else 207 if rejected else 201)
    for at, (key, row) in enumerate(zip(verdict["ids"], rows, strict=True)):
        if key is None:
            assert json.dumps(rejected[at]["record"]) == json.dumps(row)
            assert rejected[at]["errors"]
            assert {error["code"] for error in rejected[at]["errors"]} <= CODES
        else:
            assert at not in rejected
            expected = {known.name: as_stored(known, row[known.name]) for known in table.fields}
            assert (await api.get(f"/{table.path}/{key}")).json() == {"id": key} | expected
            (stored,) = await database.fetch(table.sql["find"], (key,))
            assert table.as_object(stored) == {"id": key} | expected


async def _parents_there(database: Database) -> None:
    if await database.fetch("SELECT COUNT(*) FROM jobs WHERE id IN (1, 2, 3)") != [(3,)]:
        await add_parents(database, range(1, 4))


def _refuse(constant: str) -> None:
    raise ValueError(constant)
