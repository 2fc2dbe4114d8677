"""Backups made without a database, for tests that need files."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from typing import Any

import msgspec

from service.core.backups.backup import PROGRAM, Manifest, Part
from service.core.backups.format import avro_schema
from service.core.backups.format.avro import BackupMetadata, Reader, Writer
from service.core.backups.format.checksum import TableChecksum
from service.core.backups.format.codecs import Codec
from service.core.backups.format.zip_archive import MANIFEST, ArchiveWriter
from service.core.backups.verify import Verification, _verify
from service.core.tables import Table, by_path

DEPARTMENTS, JOBS, EMPLOYEES = map(by_path, ("departments", "jobs", "employees"))
MOMENT = "2026-01-02T03:04:05.678901Z"
ORIGIN = BackupMetadata(MOMENT, 1, PROGRAM)
NAMES = ("Ana Gómez", "Zoë O'Neil", '李 "小" 龙', "back\\slash", "50% off")


def records(table: Table, count: int) -> list[dict[str, Any]]:
    """Records as in Avro files. One hire in three has a fraction of a second."""
    if table is not EMPLOYEES:
        return [{"id": at, table.fields[0].name: f"Name {at}"} for at in range(1, count + 1)]
    return [
        {
            "id": at,
            "name": f"{NAMES[at % len(NAMES)]} {at}",
            "datetime": 1_609_459_200_000_000 + at * 61_000_000 + (at % 3 == 0) * 7,
            "department_id": at % 3 + 1,
            "job_id": at % 5 + 1,
        }
        for at in range(1, count + 1)
    ]


def avro_file(
    table: Table, rows: list[dict[str, Any]], codec: Codec = "deflate", page: int = 100
) -> bytes:
    """A backup as the service writes it."""
    head, *blocks = pieces(table, rows, codec, page)
    return head + b"".join(blocks)


def pieces(
    table: Table,
    rows: list[dict[str, Any]],
    codec: Codec = "deflate",
    page: int = 100,
    origin: BackupMetadata = ORIGIN,
) -> list[bytes]:
    """Its header, its blocks of rows, and the block with the totals."""
    writer, total = Writer(table, codec, origin), TableChecksum(table)
    pages = [rows[at : at + page] for at in range(0, len(rows), page)]
    blocks = [writer.block(writer.encode(values(page)), total(page)) for page in pages]
    return [writer.header, *blocks, writer.end()]


def values(rows: list[dict[str, Any]]) -> list[Any]:
    """The values of all rows, row after row."""
    return [value for row in rows for value in row.values()]


def zip_file(files: dict[Table, bytes]) -> bytes:
    """An archive as the service writes it."""
    archive, out, parts = ArchiveWriter(), bytearray(), {}
    for table, content in files.items():
        out += archive.begin(f"{table.name}.avro") + archive.data(content)
        end, size, sha256 = archive.end()
        out += end
        total = Reader(table, io.BytesIO(content)).total
        assert total
        parts[table.name] = Part(
            f"{table.name}.avro",
            total.rows,
            size,
            sha256,
            str(total),
            avro_schema.schema(table),
        )
    manifest = Manifest(PROGRAM, 1, MOMENT, "deflate", parts)
    out += archive.begin(MANIFEST) + archive.data(msgspec.json.encode(manifest))
    return bytes(out + archive.end()[0] + archive.finish())


async def unannounced() -> AsyncIterator[bytes]:
    """A body of 103,000 bytes, which it does not announce: no backup."""
    for _ in range(103):
        yield bytes(1000)


def verified(content: bytes) -> Verification:
    """The verification of a file."""
    return _verify(io.BytesIO(content))
