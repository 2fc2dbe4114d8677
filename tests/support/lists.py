"""Hires for tests of lists, and what a list of them must be."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.parse import urljoin

import httpx
from hypothesis import strategies as st

from service.core.reads.orders import orders_of
from service.core.tables import by_path

NAMES = (
    *("Ana", "Ana ", " Ana", "ana", "ANA", "Anä", "An", "Anaconda", "Ana%", "A_a", "A|a", "A%"),
    *("\\Ana", "Ü", "😀 Ana", "漢", "'; DROP TABLE jobs; --", "%s", "=1+1", '"Ana"', "Ana\u00a0"),
)
MOMENTS = (
    *("2021-01-01T00:00:00Z", "2021-01-01T00:00:00.000001Z", "2021-06-30T23:59:59.999999Z"),
    *("1000-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"),
)
HIRES = [
    (
        3 * at + 1,
        NAMES[at * 8 % len(NAMES)],
        MOMENTS[at * 3 % len(MOMENTS)].removesuffix("Z"),
        at % 5 + 1,
        at * at % 7 + 1,
    )
    for at in range(150)
]
Row = dict[str, Any]
Parameters = dict[str, Any]


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


TESTS: dict[str, Callable[[Row, Any], bool]] = {
    "id": lambda row, values: row["id"] in values,
    "department_id": lambda row, values: row["department_id"] in values,
    "job_id": lambda row, values: row["job_id"] in values,
    "name": lambda row, values: row["name"].startswith(tuple(values)),
    "hired_from": lambda row, value: moment(row["datetime"]) >= moment(value),
    "hired_before": lambda row, value: moment(row["datetime"]) < moment(value),
}
BY_TIME = ("datetime", "department_id", "job_id", "id")
KEYS: dict[str, Callable[[Row], Any]] = {
    "id": lambda row: row["id"],
    "datetime": lambda row: (moment(row["datetime"]), *(row[name] for name in BY_TIME[1:])),
    # The server compares texts as if they were padded with spaces.
    "name": lambda row: (row["name"].rstrip(" "), row["id"]),
}


def in_python(rows: list[Row], parameters: Parameters) -> list[Row]:
    """What a list must be, from all rows."""
    order = parameters.get("order", "id")
    tests = [(TESTS[name], value) for name, value in parameters.items() if name in TESTS]
    matching = [row for row in rows if all(test(row, value) for test, value in tests)]
    return sorted(matching, key=KEYS[order.removeprefix("-")], reverse=order.startswith("-"))


prefixes = st.sampled_from(NAMES).flatmap(
    lambda name: st.integers(1, len(name)).map(lambda length: name[:length])
)
any_moment = st.datetimes(
    datetime(1000, 1, 2),  # noqa: DTZ001 - the offset follows
    datetime(9999, 12, 30),  # noqa: DTZ001
    timezones=st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes))),
).map(datetime.isoformat)
moments = st.sampled_from([*MOMENTS, "2021-01-01T02:00:00+02:00"]) | any_moment
queries = st.fixed_dictionaries(
    {},
    optional={
        "id": st.lists(st.integers(1, 500), min_size=1, max_size=30)
        | st.integers(1, 200).map(lambda first: [*range(first, first + 1000)]),
        "department_id": st.lists(st.integers(1, 8), min_size=1, max_size=3),
        "job_id": st.lists(st.integers(1, 8), min_size=1, max_size=3),
        "name": st.lists(prefixes.filter(str.strip), min_size=1, max_size=3),
        "hired_from": moments,
        "hired_before": moments,
        "order": st.sampled_from(sorted(orders_of(by_path("employees")))),
    },
)


CSV, NDJSON = {"Accept": "text/csv"}, {"Accept": "application/x-ndjson"}


async def as_lines(client: httpx.AsyncClient, path: str, **parameters: Any) -> list[Any]:
    reply = await client.get(path, params=parameters, headers=NDJSON)
    assert reply.status_code == 200, reply.text
    assert reply.headers["Content-Type"].startswith("application/x-ndjson")
    *lines, end = reply.content.split(b"\n")  # not splitlines(): a text may hold U+2028
    assert end == b""
    return [json.loads(line) for line in lines]


async def as_csv(client: httpx.AsyncClient, path: str, **parameters: Any) -> list[dict[str, str]]:
    reply = await client.get(path, params=parameters, headers=CSV)
    assert reply.status_code == 200, reply.text
    assert reply.headers["Content-Type"].startswith("text/csv")
    return list(csv.DictReader(io.StringIO(reply.text, newline=""), strict=True))


async def walk(
    client: httpx.AsyncClient, path: str, parameters: Parameters, limit: int
) -> list[list[Row]]:
    """All pages of a list, by `next` and by `Link`, which must agree."""
    pages, after, link = [], parameters.get("after"), None
    while True:
        query = parameters | {"limit": limit} | ({} if after is None else {"after": after})
        reply = await client.get(path, params=query)
        assert reply.status_code == 200, reply.text
        if link and len(pages) == 1:
            assert (await client.get(link)).content == reply.content
        pages.append(reply.json()["rows"])
        assert len(pages[-1]) <= limit
        after = reply.json()["next"]
        link = reply.links.get("next", {}).get("url")
        assert (after is None) == (link is None)
        if after is None:
            return pages
        assert reply.links["next"]["rel"] == "next"
        link = urljoin(path, link)


async def listed(client: httpx.AsyncClient, path: str, limit: int, **parameters: Any) -> list[Row]:
    return [row for page in await walk(client, path, parameters, limit) for row in page]
