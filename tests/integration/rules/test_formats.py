"""Every format and encoding has the same result as JSON."""

from __future__ import annotations

import csv
import gzip
import io
import time
from collections.abc import Callable
from typing import Any

import httpx
import msgspec
import pytest

from service.core.database.transactions import Database
from service.core.rules import formats
from service.core.tables import by_path
from tests.support.equal_hashes import map_of_equal_hashes
from tests.support.hires import codes, count, hire, names

pytestmark = pytest.mark.usefixtures("parents")

Client = httpx.AsyncClient
Rows = list[dict[str, Any]]


def as_csv(rows: Rows) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, ["job_id", "name", "department_id", "datetime"])
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


FORMATS: dict[str, Callable[[Rows], bytes]] = {
    "application/json": msgspec.json.encode,
    "application/x-ndjson": lambda rows: b"\n".join(map(msgspec.json.encode, rows)),
    "text/csv": as_csv,
    "application/msgpack": msgspec.msgpack.encode,
}
ENCODINGS: dict[str, Callable[[bytes], bytes]] = {"": bytes, "gzip": gzip.compress}
GOOD = [hire(name=name) for name in ("Ana", "😀" * 255, "O'B\"r\\i%sen", "مرحبا, x", "a;b\u2028c")]
MIXED = [
    hire(),
    hire(name="x" * 256),
    hire(datetime="2021-02-30T00:00:00Z"),
    hire(name="a\x07b", job_id=0),
    hire(job_id=2**31, department_id=77),
    hire(department_id=77, job_id=88),
    hire(name="last", datetime="2021-07-27T16:02:08.5+02:00"),
]


async def post(
    client: Client, body: bytes, kind: str = "", encoding: str = "", url: str = "/employees"
) -> httpx.Response:
    headers = {"Content-Type": kind, "Content-Encoding": encoding}
    return await client.post(
        url, content=body, headers={name: value for name, value in headers.items() if value}
    )


def verdict(reply: httpx.Response) -> dict[str, Any]:
    """A result without its ids and records, which differ by format and time."""
    body = reply.json()
    return {
        "status": reply.status_code,
        "counts": [body[name] for name in ("received", "inserted", "failed")],
        "ids": [key is not None for key in body["ids"]],
        "failures": {failure["index"]: codes(failure) for failure in body["failures"]},
    }


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("rows", [GOOD, MIXED, MIXED[1:6]], ids=["good", "mixed", "bad"])
async def test_every_format_has_the_result_of_json(
    api: Client, database: Database, rows: Rows, kind: str, encoding: str
) -> None:
    expected = verdict(await api.post("/employees?dry_run=true", json=rows))
    body = ENCODINGS[encoding](FORMATS[kind](rows))
    reply = await post(api, body, f"{kind}; charset=utf-8", encoding)
    failures = reply.json()["failures"]
    assert verdict(reply)["failures"] == expected["failures"]
    assert verdict(reply)["counts"] == [len(rows), len(rows) - len(failures), len(failures)]
    assert reply.status_code == (201 if rows is GOOD else 207 if reply.json()["inserted"] else 422)
    ids = reply.json()["ids"]
    written = {key: row["name"] for key, row in zip(ids, rows, strict=True) if key}
    assert await names(database) == written
    for failure in failures:
        sent = rows[failure["index"]]
        texts = {name: str(value) for name, value in sent.items()}
        assert failure["record"] == (texts if kind == "text/csv" else sent)


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize(("size", "status"), [(1000, 201), (1001, 422)])
async def test_every_format_takes_a_thousand_rows(
    api: Client, database: Database, kind: str, size: int, status: int
) -> None:
    assert (await api.get("/limits")).json()["batch_rows"] == 1000
    reply = await post(api, FORMATS[kind]([hire()] * size), kind)
    assert reply.status_code == status
    assert await count(database, "hired_employees") == (size if status == 201 else 0)
    if status == 422:
        assert "1001" in reply.json()["detail"]


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json", b"[]"),
        ("application/x-ndjson", b""),
        ("application/x-ndjson", b"\n \r\n"),
        ("text/csv", b"job\n"),
        ("application/msgpack", b"\x90"),
    ],
)
async def test_a_batch_without_rows_is_refused(api: Client, kind: str, body: bytes) -> None:
    reply = await post(api, body, kind, url="/jobs")
    assert (reply.status_code, "0" in reply.json()["detail"]) == (422, True)


NDJSON, CSV, MSGPACK = list(FORMATS)[1:]
JOB = msgspec.msgpack.encode({"job": "A"})


@pytest.mark.parametrize(
    ("kind", "body", "record", "errors"),
    [
        (NDJSON, b'{"job":"A"}\n{"job":\n\n{"job":"B"}', '{"job":', {(None, "malformed")}),
        (
            NDJSON,
            b'{"job":"A"}\n{"job":"\xff"}\n{"job":"B"}\n',
            '{"job":"\\xff"}',
            {(None, "malformed")},
        ),
        (NDJSON, b'{"job":"A"}\r\n[1]\r\n{"job":"B"}\r\n', [1], {(None, "type")}),
        (
            NDJSON,
            b'{"job":"A"}\n{"job":"\\ud83d"}\n{"job":"B"}',
            '{"job":"\\ud83d"}',
            {("job", "control_character")},
        ),
        (
            NDJSON,
            b'{"job":"A"}\n{"job":"C"} {"job":"D"}\n{"job":"B"}',
            '{"job":"C"} {"job":"D"}',
            {(None, "malformed")},
        ),
        (CSV, b"job\nA\nx,y\nB\n", ["x", "y"], {(None, "malformed")}),
        (CSV, b'\xef\xbb\xbfjob\r\nA\r\n""\r\n\r\nB', {"job": ""}, {("job", "missing")}),
        (CSV, b'job\nA\n"a\nb"\nB\n', {"job": "a\nb"}, {("job", "control_character")}),
        (
            MSGPACK,
            b"\x93" + JOB + b"\x81\xa3job\xa1\xff" + JOB,
            "\\x81\\xa3job\\xa1\\xff",
            {(None, "malformed")},
        ),
        (
            MSGPACK,
            b"\x93" + JOB + b"\x81\x01\x02" + JOB,
            {"1": 2},
            {("1", "unknown_field"), ("job", "missing")},
        ),
        (
            MSGPACK,
            b"\x93" + JOB + b"\x81\xa3job\xc4\x01\xff" + JOB,
            {"job": "/w=="},
            {("job", "type")},
        ),
        (
            MSGPACK,
            b"\x93" + JOB + b"\x81\xc0\xc0" + JOB,
            "{None: None}",
            {("None", "unknown_field"), ("job", "missing")},
        ),
        (MSGPACK, b"\x93" + JOB + b"\x81\xa3job\xd4\x05\x00" + JOB, None, {("job", "type")}),
        (MSGPACK, b"\x93" + JOB + b"\xc0" + JOB, None, {(None, "type")}),
        (
            MSGPACK,
            b"\x93" + JOB + b"\x81\x80\x01" + JOB,
            None,
            {(None, "malformed")},
        ),
    ],
)
async def test_an_unreadable_row_rejects_only_itself(
    api: Client, kind: str, body: bytes, record: Any, errors: set[tuple[str | None, str]]
) -> None:
    reply = await post(api, body, kind, url="/jobs")
    (failure,) = reply.json()["failures"]
    assert (reply.status_code, failure["index"]) == (207, 1)
    assert codes(failure) == errors
    assert record is None or failure["record"] == record
    assert [key is None for key in reply.json()["ids"]] == [False, True, False]


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json", b"[{]"),
        ("text/csv", b""),
        ("text/csv", b"name\nA\n"),
        ("text/csv", b"job,job\nA,B\n"),
        ("text/csv", b"id,job\n1,A\n"),
        ("text/csv", b'job\n"A\n'),
        ("text/csv", b"job\n\xff\n"),
        ("text/csv", b"job\n" + b"x" * 200_000 + b"\n"),
        ("application/msgpack", b""),
        ("application/msgpack", b"\xc1"),
        ("application/msgpack", b"\x92" + JOB),
        ("application/msgpack", b"\x91" + JOB + b"\x00"),
        ("application/msgpack", b"\xdd\xff\xff\xff\xff"),
        ("application/msgpack", b"\x91" * 100_000),
        ("application/msgpack", b"\xa1x"),
    ],
)
async def test_a_body_of_another_format_is_a_bad_request(
    api: Client, kind: str, body: bytes
) -> None:
    reply = await post(api, body, kind, url="/jobs")
    assert reply.status_code == 400
    assert len(reply.json()["detail"]) > 20


@pytest.mark.parametrize(
    ("kind", "encoding"),
    [
        ("application/xml", ""),
        ("text/plain", ""),
        ("application/x-www-form-urlencoded", ""),
        ("multipart/form-data; boundary=x", ""),
        ("application/json", "br"),
        ("application/json", "gzip, gzip"),
        ("application/json", "x"),
    ],
)
async def test_other_formats_and_encodings_are_unsupported(
    api: Client, kind: str, encoding: str
) -> None:
    reply = await post(api, b'{"job":"A"}', kind, encoding, "/jobs")
    assert reply.status_code == 415
    assert "gzip" in reply.json()["detail"] or "application/msgpack" in reply.json()["detail"]


@pytest.mark.parametrize("around", [b"", b"\x81\xa3job", b"\x81\xa1x\x91", b"\x92\x01"])
def test_keys_of_messagepack_with_equal_hashes_take_linear_time(around: bytes) -> None:
    flood = around + map_of_equal_hashes(30_000)
    began = time.process_time()
    batch = formats.from_msgpack(by_path("jobs"), b"\x92" + JOB + flood)
    (reject,) = batch.rejects
    assert time.process_time() - began < 2
    assert len(batch.rows) == 1
    assert reject.record.startswith("\\x")


async def test_a_long_row_of_messagepack_has_its_errors_and_its_record(api: Client) -> None:
    rows = [
        {"job": "x" * 2000, "more": [1] * 1000, 7: None},
        {"job": {"a": [1] * 2000}},
        ["x" * 2000],
        {"job": "x" * 2000, "other": True},
    ]
    body = msgspec.msgpack.encode(rows)
    failures = (await post(api, body, "application/msgpack", url="/jobs")).json()["failures"]
    assert [codes(failure) for failure in failures] == [
        {("job", "too_long"), ("more", "unknown_field"), ("7", "unknown_field")},
        {("job", "type")},
        {(None, "type")},
        {("job", "too_long"), ("other", "unknown_field")},
    ]
    assert [type(failure["record"]) for failure in failures] == [str, str, str, dict]
    assert failures[-1]["record"] == rows[-1]


async def test_a_timestamp_of_messagepack_is_refused_not_rounded(api: Client) -> None:
    """It has nanoseconds, which msgspec rounds."""
    nanoseconds = b"\xd7\xff" + ((123_456_789 << 34) | 1_600_000_000).to_bytes(8, "big")
    row = msgspec.msgpack.encode(hire(datetime="TIME")).replace(b"\xa4TIME", nanoseconds)
    reply = await post(api, row, "application/msgpack")
    assert codes(reply.json()["failures"][0]) == {("datetime", "type")}


@pytest.mark.parametrize("encoding", ["identity", "GZIP", " gzip "])
async def test_encodings_are_read_in_upper_and_lower_case(api: Client, encoding: str) -> None:
    body = b'{"job":"A"}'
    packed = body if encoding == "identity" else gzip.compress(body)
    assert (await post(api, packed, "", encoding, "/jobs")).status_code == 201
