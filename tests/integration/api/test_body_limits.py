"""The limits of bodies, values and results, compressed or not."""

from __future__ import annotations

import gzip

import msgspec
import pytest

from service.core.database.transactions import Database
from tests.integration.rules.test_formats import ENCODINGS, Client, post
from tests.support.hires import codes, count, hire

pytestmark = pytest.mark.usefixtures("parents")

PACKED = gzip.compress(b'[{"job":"A"}]', mtime=0)  # the same for every worker


@pytest.mark.parametrize(
    "body",
    [
        b"",
        PACKED[:-1],
        PACKED[:-8],
        PACKED[:15],
        PACKED + PACKED,
        PACKED + b"\0",
        PACKED[:-8] + b"\0\0\0\0" + PACKED[-4:],
        b'[{"job":"A"}]',
        b"\x1f\x8b",
    ],
)
async def test_gzip_that_is_damaged_or_has_trailing_bytes_is_a_bad_request(
    api: Client, database: Database, body: bytes
) -> None:
    reply = await post(api, body, "", "gzip", "/jobs")
    assert (reply.status_code, "gzip" in reply.json()["detail"]) == (400, True)
    assert await count(database, "jobs") == 2


async def test_a_gzip_bomb_is_refused(api: Client) -> None:
    bomb = gzip.compress(b" " * (64 << 20), compresslevel=1)
    reply = await post(api, bomb, "", "gzip", "/jobs")
    assert reply.status_code == 413


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize(("over", "status"), [(0, 201), (1, 413)])
async def test_a_body_has_the_documented_limit(
    api: Client, encoding: str, over: int, status: int
) -> None:
    limits = (await api.get("/limits")).json()
    size = limits["inflated_body_bytes" if encoding else "body_bytes"] + over
    body = b'[{"job":"A"}]'.ljust(size)
    reply = await post(api, ENCODINGS[encoding](body), "", encoding, "/jobs")
    assert reply.status_code == status
    if status == 413:
        assert reply.headers["Content-Type"] == "application/problem+json"


async def test_values_have_the_documented_limits(api: Client) -> None:
    limits = (await api.get("/limits")).json()
    rows = [
        hire(name="x" * limits["text_characters"]),
        hire(name="x" * (limits["text_characters"] + 1)),
        hire(job_id=limits["id"]),
        hire(job_id=limits["id"] + 1),
    ]
    reply = await api.post("/employees", json=rows)
    assert [codes(failure) for failure in reply.json()["failures"]] == [
        {("name", "too_long")},
        {("job_id", "not_found")},
        {("job_id", "out_of_range")},
    ]
    pages = [await api.get(f"/jobs?limit={limits['page_rows'] + over}") for over in (0, 1)]
    assert [page.status_code for page in pages] == [200, 400]


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json", msgspec.json.encode([{"job": '"\\' * 950}] * 1000)),
        ("text/csv", b"job\n" + 1000 * (b"\x01" * 700 + b"\n")),
    ],
)
async def test_a_result_has_the_documented_limit(
    api: Client, database: Database, kind: str, body: bytes
) -> None:
    """Quotes and control characters take the most bytes in replies and statements."""
    limit = (await api.get("/limits")).json()["verdict_bytes"]
    headers = {"Idempotency-Key": "large", "Content-Type": kind}
    first, again = [await api.post("/jobs", content=body, headers=headers) for _ in range(2)]
    assert (first.status_code, first.content) == (422, again.content)
    assert limit / 2 < len(first.content) < limit + 20_000
    over = b"job\n" + 1000 * (b"\x01" * 1100 + b"\n")
    reply = await post(api, over, "text/csv", url="/jobs")
    assert (reply.status_code, str(limit) in reply.json()["detail"]) == (413, True)
    assert await count(database, "rejects") == 1000
