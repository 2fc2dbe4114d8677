"""Backups: streams tables as Avro from one snapshot, page by page."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime
from operator import itemgetter
from typing import Any

import msgspec
from msgspec import Struct

from service import __version__
from service.core.backups.format import avro_schema
from service.core.backups.format.avro import BackupMetadata, Writer
from service.core.backups.format.codecs import Codec
from service.core.backups.format.zip_archive import MANIFEST, ArchiveWriter
from service.core.backups.table_checksum import checksum_of
from service.core.database.statements import SQL, Transaction
from service.core.database.transactions import Database
from service.core.errors import DatabaseError
from service.core.prefetch import prefetch
from service.core.rules.field_types import Text
from service.core.tables import TABLES, Table
from service.core.threads import in_thread

PAGE = 10_000
"""Rows in a block of a table with one column of text."""
SECONDS = 6 * 3600
PROGRAM = f"hirebase {__version__}"


class Part(Struct, frozen=True):
    """A table in a manifest."""

    file: str
    rows: int
    bytes: int
    sha256: str
    checksum: str
    schema: dict[str, Any]


class Manifest(Struct, frozen=True, omit_defaults=True):
    """What an archive holds.

    server: that was read, by its own name. position: its GTIDs, if it has any. The archive holds
    everything up to this position, and perhaps later transactions up to snapshot_at.
    """

    program: str
    schema_version: int
    snapshot_at: str
    codec: Codec
    tables: dict[str, Part]
    server: str = ""
    position: str = ""


async def stream_table(database: Database, table: Table, codec: Codec) -> AsyncGenerator[bytes]:
    """One table as an Avro file. The first chunk is empty: the snapshot is open."""
    async with _snapshot(database) as snapshot:
        yield b""
        async with aclosing(snapshot.chunks(await snapshot.writer(table, codec))) as chunks:
            async for chunk in chunks:
                yield chunk


async def stream_all(
    database: Database, codec: Codec, tables: Sequence[Table] = TABLES
) -> AsyncGenerator[bytes]:
    """Tables as of one moment: an empty chunk, then a ZIP of Avro files and manifest.json."""
    async with _snapshot(database) as snapshot:
        yield b""
        with ArchiveWriter() as archive:
            async with aclosing(_archived(snapshot, archive, codec, tables)) as chunks:
                async for chunk in chunks:
                    yield chunk


async def _archived(
    snapshot: _Snapshot, archive: ArchiveWriter, codec: Codec, tables: Sequence[Table]
) -> AsyncGenerator[bytes]:
    parts = {}
    for table in tables:
        writer = await snapshot.writer(table, codec)
        yield archive.begin(f"{table.name}.avro")
        async with aclosing(snapshot.chunks(writer)) as chunks:
            async for chunk in chunks:
                yield archive.data(chunk)
        end, size, sha256 = archive.end()
        parts[table.name] = _part(writer, size, sha256)
        yield end
    yield archive.begin(MANIFEST)
    yield archive.data(_json(snapshot.manifest(codec, parts)))
    yield archive.end()[0] + archive.finish()


def _part(writer: Writer, size: int, sha256: str) -> Part:
    origin, table = writer.origin, writer.table
    schema = avro_schema.schema(table)
    return Part(f"{table.name}.avro", origin.rows, size, sha256, origin.checksum, schema)


def _json(manifest: Manifest) -> bytes:
    return msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"


@asynccontextmanager
async def _snapshot(database: Database) -> AsyncIterator[_Snapshot]:
    async with database.snapshot(SECONDS) as transaction:
        moment = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        versions = await transaction.fetch(SQL["applied_migrations"])
        yield _Snapshot(transaction, moment, max(version for (version,) in versions))


class _Snapshot:
    """All tables as of one moment."""

    def __init__(self, transaction: Transaction, moment: str, schema_version: int):
        self._transaction, self._at, self._schema_version = transaction, moment, schema_version
        self._source = transaction.position.server, transaction.position.text

    async def writer(self, table: Table, codec: Codec) -> Writer:
        """A writer whose header has the count and the checksum that the database computed."""
        total = await checksum_of(self._transaction, table)
        origin = BackupMetadata(
            total.rows, str(total), self._at, self._schema_version, PROGRAM, *self._source
        )
        return Writer(table, codec, origin)

    async def chunks(self, writer: Writer) -> AsyncGenerator[bytes]:
        """The chunks of a file: header, then blocks. The server builds the next page meanwhile."""
        yield writer.header
        pages = _Pages(self._transaction, writer.table)
        prefetched: AsyncGenerator[str | bytes] = prefetch(pages.next)
        async with aclosing(prefetched) as texts:
            async for text in texts:
                yield await in_thread(_block, writer, text)
        if writer.rows != writer.origin.rows:
            raise DatabaseError(
                f"The database returned {writer.rows} rows of {writer.table.path} for the backup, "
                f"but counted {writer.origin.rows}."
            )

    def manifest(self, codec: Codec, parts: dict[str, Part]) -> Manifest:
        return Manifest(PROGRAM, self._schema_version, self._at, codec, parts, *self._source)


class _Pages:
    """A table's pages by keyset. The server builds them."""

    def __init__(self, transaction: Transaction, table: Table):
        self._transaction, self._table, self._after = transaction, table, 0
        # A page of the longest rows must fit the server's reply and a block.
        texts = sum(isinstance(field.kind, Text) for field in table.fields)
        self._size = PAGE // max(1, texts)

    async def next(self) -> str | bytes | None:
        """The JSON objects of the next page, separated by commas; None after the last page."""
        last: int | None
        text: str | bytes
        ((last, text),) = await self._transaction.fetch(
            self._table.sql["backup_page"], (self._after, self._size)
        )
        if last is None:
            return None
        self._after = last
        return text


def _block(writer: Writer, text: str | bytes) -> bytes:
    array = f"[{text if isinstance(text, str) else text.decode()}]"
    records = msgspec.json.decode(array, type=list[dict[str, Any]])
    # The server guarantees no order inside the aggregate.
    records.sort(key=itemgetter("id"))
    return writer.block(records)
