"""Avro files of a table: writes blocks of rows, reads blocks of records.

fastavro decodes rows: a block is an Avro array without its start and its end. row_encoder.py
encodes them, avro_schema.py has the schemas, and container.py reads and writes the file around the
blocks.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from itertools import pairwise
from operator import lt
from typing import IO, Annotated, Any

import fastavro
import msgspec
from msgspec import Meta, Struct

from service.core.backups.format import avro_schema, codecs, container, totals
from service.core.backups.format.avro_schema import WrittenSchema
from service.core.backups.format.binary import write_long
from service.core.backups.format.checksum import Checksum, TableChecksum
from service.core.backups.format.codecs import Codec
from service.core.backups.format.container import Block, Container
from service.core.backups.format.row_encoder import END, RowEncoder
from service.core.errors import BackupError, DamagedError
from service.core.tables import TABLES, Table

DECODED_ROWS = 10_000
"""Rows decoded in one call. Blocks of other programs may hold millions."""

Records = list[dict[str, Any]]


Short = Annotated[str, Meta(max_length=100)]
Name = Annotated[str, Meta(max_length=300)]
Gtids = Annotated[str, Meta(max_length=1 << 16)]


class BackupMetadata(Struct, frozen=True):
    """The metadata in the header of a file that hirebase wrote.

    Files of 0.1.0 have no server and no position, but the totals.
    """

    snapshot_at: Short
    schema_version: int
    program: Short
    server: Name = ""
    position: Gtids = ""

    def metadata(self) -> dict[str, bytes]:
        """The entries of the header."""
        return {
            container.OURS + name: str(value).encode()
            for name, value in msgspec.structs.asdict(self).items()
        }

    @classmethod
    def of(cls, file: Container) -> BackupMetadata:
        """Read it from the header of a file that hirebase wrote; BackupError."""
        texts = {
            field.name: file.text(container.OURS + field.name)
            for field in msgspec.structs.fields(cls)
            if field.required or container.OURS + field.name in file.metadata
        }
        try:
            return msgspec.convert(texts, cls, strict=False)
        except msgspec.ValidationError as error:
            raise DamagedError(f"This Avro file is damaged: its header has {error}.") from None


class Writer:
    """Writes an Avro file: its header, its blocks, and the block with its totals."""

    def __init__(self, table: Table, codec: Codec, origin: BackupMetadata):
        self.table, self.origin, self._codec = table, origin, codec
        self.total = Checksum()
        self.encode = RowEncoder(table)
        self.header, self._sync = container.write_header(
            {
                "avro.schema": msgspec.json.encode(avro_schema.schema(table)),
                "avro.codec": codec.encode(),
                **origin.metadata(),
            }
        )

    def block(self, rows: bytes, total: Checksum) -> bytes:
        """A block of encoded rows, whose ids ascend; their checksum is added to the totals."""
        self.total += total
        return self._block(total.rows, rows)

    def end(self) -> bytes:
        """The last block, with the totals."""
        return self._block(0, totals.write(self.total))

    def _block(self, count: int, data: bytes) -> bytes:
        return container.write_block(count, codecs.compress(self._codec, data), self._sync)


class Reader:
    """Reads an Avro file of a table block by block; BackupError says what is wrong and where.

    origin, total: what a file of ours says about itself, else None.
    """

    def __init__(self, table: Table, file: IO[bytes]):
        self._container = Container(file)
        written = WrittenSchema(self._container.text("avro.schema"))
        written.check(table)
        self.schema = written.schema
        self._rows, self._conversions = written.rows(), written.conversions(table)
        self._sum = TableChecksum(table)
        self.table, self.codec = table, self._container.codec
        self.origin = BackupMetadata.of(self._container) if self._container.ours else None
        if self.origin and written.fields["id"].optional:
            raise DamagedError("This Avro file is damaged: its schema allows rows without an id.")
        self.total = _total(self._container) if self.origin else None
        self.rows = 0
        self.checksum = Checksum()
        """Of the rows read so far, if the file claims one."""
        self._last_id = 0

    @property
    def ascending(self) -> bool:
        """Whether the ids ascend over all rows, so that none is there twice. Reading checks it."""
        return self.origin is not None

    def scan(self) -> None:
        """Count the rows and check the frame of every block, without decoding any."""
        self.rows = sum(block.count for block in self._container.blocks())
        if self.total and self.rows != self.total.rows:
            raise DamagedError(
                f"This backup of {self.table.path} is cut short or damaged: it holds {self.rows} "
                f"rows, its totals say {self.total.rows}."
            )

    def inflated(self) -> int:
        """The size of all rows in bytes."""
        return sum(len(data) for _, data in self._container.contents())

    def __iter__(self) -> Iterator[Records]:
        """Lists of at most ten thousand records; datetimes are microseconds or texts."""
        self.checksum, self._last_id = Checksum(), 0
        for block, data in self._container.contents():
            for records in self._decode(block, data):
                _convert(records, self._conversions)
                if self.origin:
                    self._check_order(block, records)
                    self.checksum += self._sum(records)
                yield records

    def read_and_check(self) -> None:
        """Read all records, then check them."""
        for _ in self:
            pass
        self.check()

    def check(self) -> None:
        """Call it after the last record: BackupError if the checksum of the rows is wrong."""
        if self.total and self.checksum != self.total:
            raise DamagedError(
                f"This backup of {self.table.path} is damaged: its {self.checksum.rows} rows have "
                f"the checksum {self.checksum}, its totals say {self.total.rows} rows with "
                f"{self.total}."
            )

    def _check_order(self, block: Block, records: Records) -> None:
        """Our writer sorts rows by id. The checksum does not notice blocks in another order."""
        ids = [self._last_id, *(record["id"] for record in records)]
        if not all(map(lt, ids, ids[1:])):
            key, before = next((two, one) for one, two in pairwise(ids) if two <= one)
            raise _damaged(block, f"it has the id {key} after the id {before}")
        self._last_id = ids[-1]

    def _decode(self, block: Block, data: bytes) -> Iterator[Records]:
        if block.count > len(data):  # a row has at least one byte
            raise _damaged(block, f"it claims {block.count} rows in {len(data)} bytes")
        try:
            yield from (
                self._whole(block, data)
                if block.count <= DECODED_ROWS
                else self._in_chunks(block, data)
            )
        except (EOFError, ValueError, IndexError, OverflowError, MemoryError) as error:
            raise _damaged(block, str(error) or "a row is cut short") from None

    def _whole(self, block: Block, data: bytes) -> Iterator[Records]:
        array = io.BytesIO(write_long(block.count) + data + END)
        records = _read(array, self._rows)
        if len(records) != block.count or array.read(1):
            raise _damaged(block, "its rows do not end where it ends")
        yield records

    def _in_chunks(self, block: Block, data: bytes) -> Iterator[Records]:
        rows, one = io.BytesIO(data), fastavro.parse_schema(self._rows["items"])
        for start in range(0, block.count, DECODED_ROWS):
            count = min(DECODED_ROWS, block.count - start)
            yield [_read(rows, one) for _ in range(count)]
        if rows.read(1):
            raise _damaged(block, "its rows do not end where it ends")


def _convert(records: Records, conversions: list[tuple[str, avro_schema.Conversion]]) -> None:
    for name, convert in conversions:
        for record in records:
            if record[name] is not None:
                record[name] = convert(record[name])


def _read(encoded: IO[bytes], schema: Any) -> Any:
    return fastavro.schemaless_reader(encoded, schema, None)


def _total(file: Container) -> Checksum:
    """The totals of a file of ours. Those of 0.1.0 are in its header."""
    rows, value = (container.OURS + name for name in ("rows", "checksum"))
    if rows in file.metadata:
        return Checksum.of(file.text(rows), file.text(value))
    return file.take_totals()


def table_of(file: IO[bytes]) -> Table:
    """The table that has the fields of an Avro file; BackupError."""
    written = WrittenSchema(Container(file).text("avro.schema"))
    for table in TABLES:
        if written.fits(table):
            return table
    raise BackupError(
        f"This is not a backup of any table: it has the fields {', '.join(written.fields)[:200]}."
    )


def _damaged(block: Block, reason: str) -> BackupError:
    return DamagedError(
        f"This Avro file is damaged in block {block.number}, at byte {block.offset}: {reason}."
    )
