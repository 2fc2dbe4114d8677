"""Avro: a table's schema, blocks of rows out, blocks of records in."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import IO, Any, Literal, get_args

import fastavro

from service.core.errors import BackupError
from service.core.fields import Instant
from service.core.tables import Table

Codec = Literal["deflate", "null", "snappy", "zstandard"]
CODECS: tuple[Codec, ...] = get_args(Codec)

MAGIC = b"Obj\x01"
AVRO_TYPES: dict[type, Any] = {
    int: "int",
    str: "string",
    Instant: {"type": "long", "logicalType": "local-timestamp-micros"},
}


def schema(table: Table) -> dict[str, Any]:
    """The fixed schema of a table's backups; moments are microseconds of UTC."""
    return {
        "type": "record",
        "name": table.name,
        "namespace": "hirebase",
        "fields": [
            {"name": field.name, "type": AVRO_TYPES[field.type]} for field in table.stored_fields
        ],
    }


class Writer:
    """An Avro file in the making: what is written comes out of `drain` as bytes."""

    def __init__(self, table: Table, codec: Codec, metadata: dict[str, str]):
        self._buffer = io.BytesIO()
        self._writer = fastavro.write.Writer(
            self._buffer, fastavro.parse_schema(schema(table)), codec, metadata=metadata
        )

    def write(self, records: list[dict[str, Any]]) -> bytes:
        """One block of records, as bytes of the file."""
        for record in records:
            self._writer.write(record)
        self._writer.flush()
        return self.drain()

    def drain(self) -> bytes:
        """The bytes since the last call: the header, at first."""
        data = self._buffer.getvalue()
        self._buffer.seek(0)
        self._buffer.truncate()
        return data


class Reader:
    """An Avro file of a table, block by block; BackupError says what is wrong with it."""

    def __init__(self, table: Table, file: IO[bytes]):
        self._table = table
        try:
            self._blocks: Any = fastavro.block_reader(file)
        except Exception as error:  # fastavro raises whatever a broken header leads to
            raise BackupError(f"This is no Avro file: {error}") from error
        self.metadata: dict[str, str] = self._blocks.metadata
        self._check_schema()

    def __iter__(self) -> Iterator[list[dict[str, Any]]]:
        return self

    def __next__(self) -> list[dict[str, Any]]:
        """The records of the next block, moments as datetimes."""
        try:
            return list(self._blocks.__next__())
        except StopIteration:
            raise
        except Exception as error:  # as above, for a broken block
            raise BackupError(f"The Avro file is damaged: {error}") from error

    def _check_schema(self) -> None:
        written: Any = self._blocks.writer_schema
        names = (
            [field["name"] for field in written.get("fields", ())]
            if isinstance(written, dict)
            else []
        )
        wanted = self._table.columns
        if sorted(names) != sorted(wanted):
            raise BackupError(
                f"This is no backup of {self._table.path}: it has the fields "
                f"{', '.join(names) or 'none'}, the table has {', '.join(wanted)}."
            )
