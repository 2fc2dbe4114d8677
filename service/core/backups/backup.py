"""Backups: streams tables as Avro from one snapshot, page by page."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any

import msgspec
from msgspec import Struct

import sql
from service import __version__
from service.core.backups.format import avro_schema
from service.core.backups.format.avro import BackupMetadata, Writer
from service.core.backups.format.codecs import Codec
from service.core.backups.format.zip_archive import MANIFEST, ArchiveWriter
from service.core.backups.pages import Page, Pages
from service.core.database.statements import SQL, Transaction
from service.core.database.transactions import Database
from service.core.errors import DatabaseError
from service.core.prefetch import prefetch
from service.core.progress import Progress, Step, silent
from service.core.tables import TABLES, Table
from service.core.threads import in_thread

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


async def stream_table(
    database: Database, table: Table, codec: Codec, progress: Progress = silent
) -> AsyncGenerator[bytes]:
    """One table as an Avro file. The first chunk is empty: the snapshot is open."""
    async with _snapshot(database, [table], progress) as snapshot:
        yield b""
        async with aclosing(snapshot.chunks(snapshot.writer(table, codec))) as chunks:
            async for chunk in chunks:
                yield chunk


async def stream_all(
    database: Database,
    codec: Codec,
    tables: Sequence[Table] = TABLES,
    progress: Progress = silent,
) -> AsyncGenerator[bytes]:
    """Tables as of one moment: an empty chunk, then a ZIP of Avro files and manifest.json."""
    async with _snapshot(database, tables, progress) as snapshot:
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
        writer = snapshot.writer(table, codec)
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
    total, table = writer.total, writer.table
    schema = avro_schema.schema(table)
    return Part(f"{table.name}.avro", total.rows, size, sha256, str(total), schema)


def _json(manifest: Manifest) -> bytes:
    return msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"


@asynccontextmanager
async def _snapshot(
    database: Database, tables: Sequence[Table], progress: Progress
) -> AsyncIterator[_Snapshot]:
    async with database.snapshot() as transaction:
        for table in tables:
            # A restore does not swap a table that this transaction has read from.
            await transaction.fetch(table.sql["ids"], (0, 1))
        moment = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        versions = await transaction.fetch(SQL["applied_migrations"])
        yield _Snapshot(transaction, moment, max(version for (version,) in versions), progress)


class _Snapshot:
    """All tables as of one moment."""

    def __init__(
        self, transaction: Transaction, moment: str, schema_version: int, progress: Progress
    ):
        self._transaction, self._at, self._schema_version = transaction, moment, schema_version
        self._progress = progress
        self._source = transaction.position.server, transaction.position.text

    def writer(self, table: Table, codec: Codec) -> Writer:
        """The writer of a file as of this moment."""
        origin = BackupMetadata(self._at, self._schema_version, PROGRAM, *self._source)
        return Writer(table, codec, origin)

    async def chunks(self, writer: Writer) -> AsyncGenerator[bytes]:
        """The chunks of a file.

        Three pages are in work at the same time: the server builds one, the page before it is
        encoded and compressed, and the page before that is sent.
        """
        yield writer.header
        table, rows = writer.table, 0
        ((last_id,),) = await self._transaction.fetch(sql.with_name(SQL["last_id"], table.name))
        self._progress(Step(f"back up {table.path}"))
        pages: AsyncGenerator[Page] = prefetch(Pages(self._transaction, table).next)
        blocks = prefetch(partial(_next_block, writer, pages))
        async with aclosing(pages), aclosing(blocks):
            async for page, block in blocks:
                yield block
                rows += page.total.rows
                self._progress(_step(table, rows, page.last, last_id))
        yield writer.end()

    def manifest(self, codec: Codec, parts: dict[str, Part]) -> Manifest:
        return Manifest(PROGRAM, self._schema_version, self._at, codec, parts, *self._source)


async def _next_block(writer: Writer, pages: AsyncGenerator[Page]) -> tuple[Page, bytes] | None:
    page = await anext(pages, None)
    return None if page is None else (page, await in_thread(_block, writer, page))


def _step(table: Table, rows: int, last: int, last_id: int) -> Step:
    """The progress after a page. Counting all rows takes long, so ids give their number."""
    done = max(1, min(last, last_id))
    return Step(f"back up {table.path}", rows, rows * last_id // done)


def _block(writer: Writer, page: Page) -> bytes:
    return writer.block(_rows(writer, page), page.total)


def _rows(writer: Writer, page: Page) -> bytes:
    values = page.values()
    if values[0] < 1:
        raise DatabaseError(
            f"{page.table.path} has a row with the id {values[0]}, which no backup can hold: ids "
            "begin at 1. Give the row another id, or delete it."
        )
    return writer.encode(values)
