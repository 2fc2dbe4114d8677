"""Hostile input to every route: refused in one shape, nothing written, nothing internal leaked."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import msgspec
import pytest

from service.core.database.transactions import Database
from service.core.settings import Settings
from service.core.tables import TABLES
from tests.conftest import calling
from tests.integration.api.test_problems import INTERNAL

JSON = "application/json"
SQL = (
    "'; DROP TABLE hired_employees; --",
    '"; DELETE FROM departments; --',
    "1 OR 1=1",
    "1; SELECT SLEEP(5)",
    "0x31",
    "' UNION SELECT password FROM mysql.user -- ",
    "\\'; DROP TABLE jobs; #",
    "%s %(id)s %d {id}",
    "1/**/OR/**/1",
    "@@version",
)
PATHS = ("../../etc/passwd", "..%2f..%2fetc%2fpasswd", "/etc/passwd", "C:\\boot.ini", "x\x00.avro")


@dataclass(frozen=True)
class Attack:
    """A request that must be refused."""

    name: str
    method: str
    path: str
    content: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


def post(name: str, path: str, content: bytes, kind: str = JSON, **headers: str) -> Attack:
    sent = {key.replace("_", "-"): value for key, value in headers.items()}
    return Attack(f"{name} at {path}", "POST", path, content, {"Content-Type": kind, **sent})


BODIES: dict[str, bytes] = {
    "nothing": b"",
    "a space": b" ",
    "a bare word": b"departments",
    "null": b"null",
    "a number": b"17",
    "a string": b'"[]"',
    "an open array": b"[",
    "an open object": b'[{"department":',
    "deep arrays": b"[" * 100_000,
    "deep objects": b'{"a":' * 100_000,
    "deep and closed": b"[" * 50_000 + b"]" * 50_000,
    "a deep value": b'[{"department":' + b"[" * 20_000 + b"]" * 20_000 + b"}]",
    "a trailing comma": b'[{"department":"x"},]',
    "single quotes": b"[{'department':'x'}]",
    "a comment": b'/* x */[{"department":"x"}]',
    "two values": b'[{"department":"x"}] [{"department":"x"}]',
    "NaN": b'[{"department":NaN}]',
    "a huge number": b'[{"department":' + b"9" * 100_000 + b"}]",
    "a huge exponent": b'[{"department":1e999999999}]',
    "no UTF-8": b'[{"department":"\xff\xfe"}]',
    "UTF-8 for too long": b'[{"department":"\xc0\xaf"}]',
    "a coded surrogate": b'[{"department":"\xed\xa0\x80"}]',
    "an escaped surrogate": b'[{"department":"\\ud800"}]',
    "UTF-16": '[{"department":"x"}]'.encode("utf-16"),
    "a BOM": b'\xef\xbb\xbf[{"department":"x"}]',
    "a null character": b'[{"department":"a\\u0000b"}]',
    "a newline in a name": b'[{"department":"a\\nb"}]',
    "a long name": b'[{"department":"' + b"x" * 1_000_000 + b'"}]',
    "no rows": b"[]",
    "1,001 rows": b"[" + b'{"department":"x"},' * 1000 + b'{"department":"x"}]',
    "100,000 nulls": b"[" + b"null," * 99_999 + b"null]",
    "5 MB": b"[" + b" " * 5_000_000 + b"]",
    "many keys": b"[{" + b",".join(b'"k%d":1' % n for n in range(50_000)) + b"}]",
    "__proto__": b'[{"__proto__":{"department":"x"}}]',
    "an array for a row": b'[["x"]]',
    "a given id": b'[{"id":1,"department":"x"}]',
    "pickle": b"\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00\x8c\x07builtin\x94.",
    "XML": b'<?xml version="1.0"?><!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/passwd">]>',
}
"""Malformed JSON, and JSON that is not valid for a table."""


def batches() -> Iterator[Attack]:
    for table in TABLES:
        yield from (post(name, f"/{table.path}", body) for name, body in BODIES.items())
    yield from hires()


def hires() -> Iterator[Attack]:
    good = {"name": "x", "datetime": "2021-01-01T00:00:00Z", "department_id": 1, "job_id": 1}
    for text in SQL:
        for name in ("datetime", "department_id"):
            body = msgspec.json.encode([good | {name: text}])
            yield post(f"{text} as {name}", "/employees", body)
    numbers: tuple[object, ...] = (0, -1, 2**31, 2**63, 2**64, 10**400, 1.5, True, None, [], {})
    for number in numbers:
        body = msgspec.json.encode([good]).replace(b'"job_id":1', b'"job_id":%s' % _json(number))
        yield post(f"job {str(number)[:20]}", "/employees", body)


def _json(value: object) -> bytes:
    return (
        str(value).encode()
        if isinstance(value, int) and value > 2**63
        else msgspec.json.encode(value)
    )


def formats() -> Iterator[Attack]:
    row = b'[{"department":"x"}]'
    bomb = gzip.compress(b"[" + b" " * 200_000_000 + b"]", 9)
    at = "/departments"
    yield post("a gzip bomb", at, bomb, Content_Encoding="gzip")
    yield post("gzip cut short", at, gzip.compress(row)[:-5], Content_Encoding="gzip")
    yield post("gzip twice over", at, gzip.compress(row) * 2, Content_Encoding="gzip")
    yield post("no gzip", at, row, Content_Encoding="gzip")
    yield post("zlib as gzip", at, zlib.compress(row), Content_Encoding="gzip")
    yield post("brotli", at, row, Content_Encoding="br")
    yield post("gzip, gzip", at, gzip.compress(gzip.compress(row)), Content_Encoding="gzip, gzip")
    for kind in ("text/html", "application/xml", "multipart/form-data; boundary=x", "a/b/c", "*/*"):
        yield post(f"as {kind}", at, row, kind)
    for kind in ("text/csv", "application/x-ndjson", "application/msgpack"):
        for name, content in (
            ("nothing", b""),
            ("zeros", b"\0" * 100),
            ("noise", bytes(range(256))),
        ):
            yield post(f"{name} as {kind}", at, content, kind)
    yield post("CSV without its header", at, b"x\ny\n", "text/csv")
    yield post("CSV with a header twice", at, b"department,department\nx,y\n", "text/csv")
    yield post("an open quote", at, b'department\n"x\n', "text/csv")
    yield post("a CSV field too long", at, b"department\n" + b"x" * 200_000 + b"\n", "text/csv")
    yield post("msgpack that promises", at, b"\xdd\xff\xff\xff\xff", "application/msgpack")
    yield post("deep msgpack", at, b"\x91" * 100_000, "application/msgpack")
    yield post(
        "a timestamp for a name",
        at,
        b"\x91\x81\xaadepartment\xd6\xff\0\0\0\0",
        "application/msgpack",
    )
    for key in ("", "x" * 256, "\x01"):
        yield post(f"key {key[:5]!r}", at, row, Idempotency_Key=key)


def addresses() -> Iterator[Attack]:
    for text in (*SQL, *PATHS):
        for path in (
            "/departments/{}",
            "/departments?limit={}",
            "/rejects?source={}",
            "/avro/backup/{}",
            "/reports/{}",
            "/avro/backup/jobs?codec={}",
        ):
            quoted = str(httpx.QueryParams({"q": text}))[2:]
            yield Attack(f"{text!r} in {path}", "GET", path.format(quoted))
    for method in ("PUT", "PATCH", "DELETE", "TRACE", "CONNECT"):
        yield Attack(method, method, "/departments")


def files() -> Iterator[Attack]:
    kind = "application/avro"
    for path in (
        *(f"/avro/restore/{table.path}" for table in TABLES),
        "/avro/restore/all",
        "/avro/verify",
    ):
        for name, content in (
            ("nothing", b""),
            ("text", b"id,department\n1,x\n"),
            ("a bare magic", b"Obj\x01"),
            ("a huge header", b"Obj\x01" + b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
            ("noise", bytes(range(256)) * 40),
            ("a ZIP of a path", _zip("../../x.avro")),
            ("a ZIP of a rooted path", _zip("/etc/x.avro")),
            ("a ZIP of many", _zip(*(f"{n}.avro" for n in range(2000)))),
        ):
            yield post(name, path, content, kind)
    for text in PATHS:
        quoted = str(httpx.QueryParams({"q": text}))[2:]
        yield post(f"backup {text!r}", f"/avro/restore/jobs?backup={quoted}", b"", kind)


def _zip(*names: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, b"x")
    return file.getvalue()


CORPUS = [*batches(), *formats(), *addresses(), *files()]


async def contents(database: Database) -> list[Any]:
    return [await database.fetch(f"SELECT COUNT(*) FROM {table.name}") for table in TABLES]


def test_the_corpus_is_large_enough() -> None:
    assert len(CORPUS) >= 150


@pytest.mark.timeout(600)
async def test_every_attack_is_refused_and_changes_nothing(
    database: Database, migrated: Settings
) -> None:
    before = await contents(database)
    wrong: dict[str, Any] = {}
    async with calling(migrated) as client:
        for attack in CORPUS:
            reply = await client.request(
                attack.method, attack.path, content=attack.content, headers=attack.headers
            )
            if complaint := complaint_about(attack, reply):
                wrong[attack.name] = (complaint, reply.text[:200])
    assert wrong == {}
    assert await contents(database) == before


def complaint_about(attack: Attack, reply: httpx.Response) -> str | None:
    """What is wrong with a reply, if anything is."""
    if not 400 <= reply.status_code < 500:
        return f"status {reply.status_code}"
    # Replies give back what was sent, numbers of any length too.
    body = json.loads(reply.text, parse_int=str)
    if not ({"title", "status", "detail"} <= set(body) or {"received", "failures"} <= set(body)):
        return "another shape"
    visible = reply.text if "detail" in body else str([one["errors"] for one in body["failures"]])
    leaks = [word for word in INTERNAL if word in visible and word not in attack.name]
    return f"reveals {leaks}" if leaks else None
