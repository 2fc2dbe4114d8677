"""Small hostile files. Their names say what they attack."""

from __future__ import annotations

import hashlib
import io
import json
import struct
import zipfile
import zlib
from collections.abc import Callable
from functools import cache
from typing import Any

from service.core.backups.format import avro_schema, container, totals
from service.core.backups.format.binary import write_long
from service.core.backups.format.checksum import Checksum, TableChecksum
from service.core.backups.format.codecs import compress
from service.core.backups.format.container import MAGIC
from tests.support.backup_files import EMPLOYEES, ORIGIN, avro_file, records

SYNC = bytes(range(16))
GOOD = records(EMPLOYEES, 3)


def header(schema: Any, codec: str = "null", **more: bytes) -> bytes:
    """A header of a program that is not ours."""
    text = schema if isinstance(schema, bytes) else json.dumps(schema).encode()
    entries = {"avro.schema": text, "avro.codec": codec.encode(), **more}
    body = b"".join(
        write_long(len(key)) + key.encode() + write_long(len(value)) + value
        for key, value in entries.items()
    )
    return MAGIC + write_long(len(entries)) + body + write_long(0) + SYNC


def block(count: int, data: bytes, size: int | None = None) -> bytes:
    """A block that may lie about its size."""
    return write_long(count) + write_long(len(data) if size is None else size) + data + SYNC


def deflated(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-15)
    return compressor.compress(data) + compressor.flush()


SCHEMA = avro_schema.schema(EMPLOYEES)
HEAD = header(SCHEMA)
DEFLATE = header(SCHEMA, "deflate")


def _bomb() -> bytes:
    return DEFLATE + block(5, deflated(bytes(1 << 28)))


def _bombs_below_the_limit() -> bytes:
    return DEFLATE + 30 * block(3_000_000, deflated(bytes(15 << 20)))


def _snappy_bomb() -> bytes:
    return header(SCHEMA, "snappy") + block(5, write_bare(1 << 40) + b"\x00" * 100)


def _zstandard_bomb() -> bytes:
    return header(SCHEMA, "zstandard") + block(5, compress("zstandard", bytes(1 << 28)))


def write_bare(value: int) -> bytes:
    """A number as in snappy: seven bits a byte, no zigzag."""
    return write_long(value // 2) if value % 2 == 0 else b""


def _deep_schema() -> bytes:
    return header(
        b'{"type":"record","fields":[{"name":"id","type":' * 3000 + b'"int"' + b"}]}" * 3000
    )


def _deep_array() -> bytes:
    return header(b"[" * 3000 + b"]" * 3000)


def _recursive(kind: Any) -> bytes:
    """A record with a field of its own type."""
    fields = [{"name": "id", "type": kind}, *SCHEMA["fields"][1:]]
    return header({**SCHEMA, "fields": fields}) + block(1, b"\x02" * 1000)


def _zero_fields() -> bytes:
    schema = {"type": "record", "name": "nothing", "fields": []}
    return header(schema) + block(1 << 40, b"\x00")


def _ours(id_type: Any, id_: bytes) -> bytes:
    """A row of this service by its header, with an id of another type."""
    fields = [{"name": "id", "type": id_type}, *SCHEMA["fields"][1:]]
    head, sync = container.write_header(
        {
            "avro.schema": json.dumps({**SCHEMA, "fields": fields}).encode(),
            "avro.codec": b"null",
            **ORIGIN.metadata(),
        }
    )
    rows = container.write_block(1, id_ + b"\x02a\x02\x02\x02", sync)
    return head + rows + container.write_block(0, totals.write(Checksum(1, 1)), sync)


AVRO: dict[str, Callable[[], bytes]] = {
    "nothing": lambda: b"",
    "noise": lambda: bytes(range(256)) * 100,
    "deflate bomb": _bomb,
    "thirty bombs of 15 MiB": _bombs_below_the_limit,
    "snappy bomb": _snappy_bomb,
    "zstandard bomb": _zstandard_bomb,
    "2^40 rows of no fields": _zero_fields,
    "2^40 rows": lambda: HEAD + block(1 << 40, b"\x02"),
    "2^62 rows": lambda: HEAD + block(1 << 62, b"\x02"),
    "-2^63 rows": lambda: HEAD + block(-(1 << 63), b"\x02", 1 << 62),
    "header of 2^62 entries": lambda: MAGIC + write_long(1 << 62) + b"\x02a\x02b" * 100,
    "header of -2^62 entries": lambda: MAGIC + write_long(-(1 << 62)) + b"\x02\x02a\x02b" * 100,
    "schema of itself": lambda: _recursive("hired_employees"),
    "schema of itself or null": lambda: _recursive(["null", "hirebase.hired_employees"]),
    "more rows than bytes": lambda: HEAD + block(1_000_000, bytes(1000)),
    "negative count": lambda: HEAD + block(-5, b"\x02\x02"),
    "negative size": lambda: HEAD + block(1, b"", -5),
    "block of 2^62 bytes": lambda: HEAD + block(1, b"\x02\x02", 1 << 62),
    "text of 2^62 bytes": lambda: HEAD + block(1, b"\x02" + write_long(1 << 62) + b"abc"),
    "text of negative length": lambda: HEAD + block(1, b"\x02" + write_long(-9) + b"abc"),
    "number without end": lambda: HEAD + block(1, b"\xff" * 1000),
    "header without end": lambda: MAGIC + write_long(1 << 40) + b"\x02a\x02b" * 100_000,
    "metadata of 2^62 bytes": lambda: MAGIC + write_long(1) + b"\x02a" + write_long(1 << 62),
    "schema 3,000 deep": _deep_schema,
    "arrays 3,000 deep": _deep_array,
    "schema that is no text": lambda: header(b"\xff\xfe"),
    "schema that is a number": lambda: header(5),
    "two fields of one name": lambda: header(
        {**SCHEMA, "fields": [*SCHEMA["fields"], SCHEMA["fields"][0]]}
    ),
    "text that is no UTF-8": lambda: HEAD + block(1, b"\x02\x04\xff\xfe\x02\x02\x02"),
    "ours without ids": lambda: _ours(["null", "int"], b"\x00"),
    "ours with dates for ids": lambda: _ours({"type": "int", "logicalType": "date"}, b"\x02"),
    "a type with a long name": lambda: header(
        {**SCHEMA, "fields": [{**one, "type": "x" * 100_000} for one in SCHEMA["fields"]]}
    ),
    "codec unknown": lambda: header(SCHEMA, "lzma9"),
    "another table's": lambda: avro_file(EMPLOYEES, GOOD).replace(b"job_id", b"bob_id"),
    "rows beyond the block": lambda: HEAD + block(1, b"\x02\x02a\x02\x02\x02" + b"rest"),
}


def _zip(*entries: tuple[str, bytes], kind: int = zipfile.ZIP_STORED) -> bytes:
    import warnings

    out = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of doubled names
        with zipfile.ZipFile(out, "w", kind) as archive:
            for name, content in entries:
                archive.writestr(name, content)
    return out.getvalue()


def _encrypted() -> bytes:
    content = bytearray(_zip(("hired_employees.avro", avro_file(EMPLOYEES, GOOD))))
    content[6] |= 1
    content[content.rindex(b"PK\x01\x02") + 8] |= 1
    return bytes(content)


def _overlapping() -> bytes:
    """A directory of two entries, both over the same data."""
    content = _zip(("jobs.avro", b"x" * 10), ("departments.avro", b"y" * 10))
    at = content.rindex(b"PK\x01\x02")
    return content[: at + 42] + struct.pack("<L", 0) + content[at + 46 :]


def _zip64(count: int) -> bytes:
    """An end record that names one entry, a ZIP64 record that names many."""
    content = _zip(("hired_employees.avro", ROWS))
    at, end = content.rindex(b"PK\x01\x02"), content.rindex(b"PK\x05\x06")
    directory = content[at:end] * count
    record = struct.pack(
        "<4sQHHLLQQQQ", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, len(directory), at
    )
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, at + len(directory), 1)
    return content[:at] + directory + record + locator + content[end:]


def _manifest(count: int, kind: int = zipfile.ZIP_STORED, **values: Any) -> bytes:
    """A ZIP with a manifest that names the employees, and more tables."""
    known = {"file": "hired_employees.avro", "rows": 3, "bytes": len(ROWS), "sha256": ""}
    part = json.dumps({**known, "checksum": "", "schema": SCHEMA, **values})
    more = "".join(f',"{at}":{part}' for at in range(count))
    head = '"program":"","schema_version":1,"snapshot_at":"","codec":"null"'
    manifest = f'{{{head},"tables":{{"hired_employees":{part}{more}}}}}'.encode()
    return _zip(("hired_employees.avro", ROWS), ("manifest.json", manifest), kind=kind)


ROWS = avro_file(EMPLOYEES, GOOD)
CHECKSUM = str(TableChecksum(EMPLOYEES)(GOOD))


@cache
def content(name: str) -> bytes:
    """A hostile file by its name."""
    return {**AVRO, **ZIPS}[name]()


ZIPS: dict[str, Callable[[], bytes]] = {
    "../x.avro": lambda: _zip(("../x.avro", ROWS)),
    "absolute": lambda: _zip(("/etc/hired_employees.avro", ROWS)),
    "doubled": lambda: _zip(("hired_employees.avro", ROWS), ("hired_employees.avro", ROWS)),
    "encrypted": _encrypted,
    "nested": lambda: _zip(("hired_employees.avro", _zip(("hired_employees.avro", ROWS)))),
    "a ZIP beside": lambda: _zip(("more.zip", _zip())),
    "100,000 entries": lambda: _zip(*((f"{at}.avro", b"") for at in range(100_000))),
    "500,000 entries in ZIP64": lambda: _zip64(500_000),
    "inflating entry": lambda: _zip(
        ("hired_employees.avro", bytes(1 << 28)), kind=zipfile.ZIP_DEFLATED
    ),
    "overlapping entries": _overlapping,
    "empty": _zip,
    "a manifest alone": lambda: _zip(("manifest.json", b"{}")),
    "a manifest that is none": lambda: _zip(
        ("hired_employees.avro", ROWS), ("manifest.json", b"[")
    ),
    "a manifest of 1,000,000 tables": lambda: _manifest(10**6, zipfile.ZIP_DEFLATED, schema={}),
    "a manifest of 8,000 tables": lambda: _manifest(8000, schema={}),
    "a manifest with a long name": lambda: _manifest(0, file="x" * 10**6),
    "a manifest with a long SHA-256": lambda: _manifest(0, sha256="x" * 10**6),
    "a manifest with a long schema": lambda: _manifest(
        0, sha256=hashlib.sha256(ROWS).hexdigest(), checksum=CHECKSUM, schema={"x": "x" * 10**6}
    ),
    "cut": lambda: _zip(("hired_employees.avro", ROWS))[:-10],
}
