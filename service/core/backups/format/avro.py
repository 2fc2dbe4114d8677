"""Avro: blocks of a table's rows out, blocks of records in.

fastavro encodes and decodes rows, nothing else: a block of them is an Avro array without its ends.
The file around the blocks is container.py's, the schema layout.py's.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import IO, Annotated, Any

import fastavro
import msgspec
from msgspec import Meta, Struct

from service.core.backups.format import avro_schema, codecs, container
from service.core.backups.format.avro_schema import WrittenSchema
from service.core.backups.format.checksum import Checksum, TableChecksum
from service.core.backups.format.codecs import Codec
from service.core.backups.format.container import Block, Container, write_long
from service.core.errors import BackupError
from service.core.tables import TABLES, Table

AT_ONCE = 10_000
"""Rows decoded in one go; others' blocks may hold millions."""

SLICE = 2000
"""Rows encoded in one go: no other thread runs for so long."""

END = write_long(0)
Records = list[dict[str, Any]]


Short = Annotated[str, Meta(max_length=100)]


class BackupMetadata(Struct, frozen=True):
    """What a file says of itself, as its metadata has it."""

    rows: int
    checksum: Short
    snapshot_at: Short
    schema_version: int
    program: Short

    def metadata(self) -> dict[str, bytes]:
        """As entries of the header."""
        return {
            container.OURS + name: str(value).encode()
            for name, value in msgspec.structs.asdict(self).items()
        }

    @classmethod
    def of(cls, file: Container) -> BackupMetadata:
        """Out of a header of ours; BackupError."""
        texts = {name: file.text(container.OURS + name) for name in cls.__struct_fields__}
        try:
            return msgspec.convert(texts, cls, strict=False)
        except msgspec.ValidationError as error:
            raise BackupError(f"This Avro file is damaged: its header has {error}.") from None


class Writer:
    """An Avro file in the making: its header, then its blocks."""

    def __init__(self, table: Table, codec: Codec, origin: BackupMetadata):
        self.table, self.origin, self._codec = table, origin, codec
        self._rows, self._packings = avro_schema.plain_rows(table), avro_schema.packings(table)
        self.header, self._sync = container.write_header(
            {
                "avro.schema": msgspec.json.encode(avro_schema.schema(table)),
                "avro.codec": codec.encode(),
                **origin.metadata(),
            }
        )

    def block(self, records: Records) -> bytes:
        """One block of records, as bytes of the file."""
        _convert(records, self._packings)
        slices = (records[at : at + SLICE] for at in range(0, len(records), SLICE))
        data = codecs.compress(self._codec, b"".join(map(self._encoded, slices)))
        return container.write_block(len(records), data, self._sync)

    def _encoded(self, records: Records) -> bytes:
        array = io.BytesIO()
        fastavro.schemaless_writer(array, self._rows, records)
        return array.getvalue()[len(write_long(len(records))) : -len(END)]


class Reader:
    """An Avro file of a table, block by block; BackupError says what is wrong and where."""

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
            raise BackupError("This Avro file is damaged: its schema allows rows without an id.")
        self.rows = 0
        self.checksum = Checksum()
        """Of the rows read so far, if the file claims one."""
        self._last_id = 0

    def scan(self) -> None:
        """Count the rows and check every block's frame; nothing is decoded."""
        self.rows = sum(block.count for block in self._container.blocks())
        if self.origin and self.rows != self.origin.rows:
            raise BackupError(
                f"This backup of {self.table.path} is cut short or damaged: it holds {self.rows} "
                f"rows, its header says {self.origin.rows}."
            )

    def inflated(self) -> int:
        """The number of bytes of all rows."""
        return sum(len(data) for _, data in self._blocks())

    def __iter__(self) -> Iterator[Records]:
        """Records, ten thousand at most at a time, moments in microseconds or as text."""
        self.checksum, self._last_id = Checksum(), 0
        for block, data in self._blocks():
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
        """After the last record: BackupError unless the rows are those that were backed up."""
        if self.origin and str(self.checksum) != self.origin.checksum:
            raise BackupError(
                f"This backup of {self.table.path} is damaged: its rows have the checksum "
                f"{self.checksum}, its header says {self.origin.checksum}."
            )

    def _blocks(self) -> Iterator[tuple[Block, bytes]]:
        """Every block and its inflated rows."""
        total = 0
        for block in self._container.blocks():
            data = self._container.rows(block)
            total += len(data)
            if total > container.MAX_INFLATED:
                raise BackupError("This Avro file inflates to more than 16 GiB, the limit.")
            yield block, data

    def _check_order(self, block: Block, records: Records) -> None:
        """The writer sorts rows by id; a checksum alone does not notice blocks that moved."""
        if records[0]["id"] <= self._last_id:
            raise _damaged(
                block, f"its first id is {records[0]['id']}, after {self._last_id} before it"
            )
        self._last_id = records[-1]["id"]

    def _decode(self, block: Block, data: bytes) -> Iterator[Records]:
        if block.count > len(data):  # a row has one byte at least
            raise _damaged(block, f"it claims {block.count} rows in {len(data)} bytes")
        try:
            yield from (
                self._all(block, data) if block.count <= AT_ONCE else self._parts(block, data)
            )
        except (EOFError, ValueError, IndexError, OverflowError, MemoryError) as error:
            raise _damaged(block, str(error) or "a row is cut short") from None

    def _all(self, block: Block, data: bytes) -> Iterator[Records]:
        array = io.BytesIO(write_long(block.count) + data + END)
        records = _read(array, self._rows)
        if len(records) != block.count or array.read(1):
            raise _damaged(block, "its rows do not end where it ends")
        yield records

    def _parts(self, block: Block, data: bytes) -> Iterator[Records]:
        rows, one = io.BytesIO(data), fastavro.parse_schema(self._rows["items"])
        for start in range(0, block.count, AT_ONCE):
            count = min(AT_ONCE, block.count - start)
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


def table_of(file: IO[bytes]) -> Table:
    """The table whose fields an Avro file has; BackupError."""
    written = WrittenSchema(Container(file).text("avro.schema"))
    for table in TABLES:
        if written.fits(table):
            return table
    raise BackupError(
        f"This is no backup of any table here: it has the fields {', '.join(written.fields)[:200]}."
    )


def _damaged(block: Block, why: str) -> BackupError:
    return BackupError(
        f"This Avro file is damaged in block {block.number}, at byte {block.offset}: {why}."
    )
