"""Backups: tables as Avro, out of one snapshot, streamed page by page."""

from __future__ import annotations

import asyncio
import hashlib
import io
import zipfile
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import msgspec

from service import __version__
from service.core import avro
from service.core.database import Database, Transaction
from service.core.tables import TABLES, Table

PAGE = 5000
STREAM_SECONDS = 3600


async def stream_table(database: Database, table: Table, codec: avro.Codec) -> AsyncIterator[bytes]:
    """One table as an Avro file."""
    async with database.snapshot(STREAM_SECONDS) as snapshot:
        async for block in _blocks(snapshot, table, codec):
            yield block


async def stream_all(database: Database, codec: avro.Codec) -> AsyncIterator[bytes]:
    """All tables as of one moment: a ZIP of Avro files, manifest.json last."""
    async with database.snapshot(STREAM_SECONDS) as snapshot:
        archive = _Archive()
        manifest: dict[str, Any] = {
            "program": f"hirebase {__version__}",
            "snapshot_at": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
            "tables": {},
        }
        for table in TABLES:
            entry = archive.entry(f"{table.name}.avro")
            async for block in _blocks(snapshot, table, codec):
                yield entry.write(block)
            rows, checksum = await table_checksum(snapshot, table)
            manifest["tables"][table.name] = entry.summary() | {
                "rows": rows,
                "checksum": checksum,
                "schema": avro.schema(table),
            }
            yield entry.close()
        yield archive.finish("manifest.json", msgspec.json.encode(manifest))


async def table_checksum(transaction: Transaction, table: Table) -> tuple[int, str]:
    """(rows, checksum of their content), computed by the database."""
    ((rows, checksum),) = await transaction.fetch(table.sql["checksum"])
    return int(rows), f"{int(checksum):08x}"


async def _blocks(snapshot: Transaction, table: Table, codec: avro.Codec) -> AsyncIterator[bytes]:
    rows, checksum = await table_checksum(snapshot, table)
    metadata = {"hirebase.rows": str(rows), "hirebase.checksum": checksum}
    writer = avro.Writer(table, codec, metadata)
    yield writer.drain()
    after = 0
    while page := await _page(snapshot, table, after):
        after = max(record["id"] for record in page)
        yield await asyncio.to_thread(writer.write, page)


async def _page(snapshot: Transaction, table: Table, after: int) -> list[dict[str, Any]]:
    ((text,),) = await snapshot.fetch(table.sql["backup_page"], (after, PAGE))
    page = msgspec.json.decode(text or b"[]", type=list[dict[str, Any]])
    # The server does not promise an order inside the aggregate.
    page.sort(key=lambda record: record["id"])
    return page


class _Sink(io.RawIOBase):
    """A file that can only be written, and gives its bytes away."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def drain(self) -> bytes:
        data = b"".join(self._parts)
        self._parts.clear()
        return data


class _Archive:
    """A ZIP in the making, entries stored as they are."""

    def __init__(self) -> None:
        self._sink = _Sink()
        self._zip = zipfile.ZipFile(self._sink, "w", zipfile.ZIP_STORED)

    def entry(self, name: str) -> _Entry:
        return _Entry(self._sink, self._zip.open(name, "w", force_zip64=True))

    def finish(self, name: str, content: bytes) -> bytes:
        """The last entry and the end of the archive."""
        self._zip.writestr(name, content)
        self._zip.close()
        return self._sink.drain()


class _Entry:
    """One entry of the archive, with its size and hash."""

    def __init__(self, sink: _Sink, file: Any):
        self._sink, self._file = sink, file
        self._bytes, self._hash = 0, hashlib.sha256()

    def write(self, data: bytes) -> bytes:
        self._file.write(data)
        self._hash.update(data)
        self._bytes += len(data)
        return self._sink.drain()

    def close(self) -> bytes:
        self._file.close()
        return self._sink.drain()

    def summary(self) -> dict[str, Any]:
        return {"bytes": self._bytes, "sha256": self._hash.hexdigest()}
