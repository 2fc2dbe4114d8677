"""How an Avro file lays out a table's rows: our schema, and what others may write instead.

Rows are flat, so a field is a primitive, or a union of one with null. Order and width are free,
as Avro's schema resolution has them; a field too many or too few is an error.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import fastavro
import msgspec
from msgspec import Struct

from service.core.errors import BackupError
from service.core.fields import Instant
from service.core.tables import Field, Table

MICROS = {"type": "long", "logicalType": "local-timestamp-micros"}
AVRO_TYPES: dict[type, Any] = {int: "int", str: "string", Instant: MICROS}

READ_AS = {"int": "long", "long": "long", "string": "string", "bytes": "string"}
"""Types that can be read, and as what: their bytes are the same."""

TAKEN = {int: ("int", "long"), str: ("string", "bytes"), Instant: ("string", "bytes", "long")}
UNITS: dict[str, Callable[[int], Any]] = {
    "millis": lambda value: value * 1000,
    "micros": lambda value: value,
    "nanos": lambda value: value // 1000 if value % 1000 == 0 else f"{value} nanoseconds",
}
"""To microseconds; nanoseconds that are none stay, as what no moment can be."""


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


def plain_rows(table: Table) -> Any:
    """What fastavro encodes a page with: an array of rows, moments as bare numbers."""
    fields = [
        {"name": field.name, "type": READ_AS["string" if field.type is str else "long"]}
        for field in table.stored_fields
    ]
    return _rows(fields)


class Layout:
    """The fields of a file as they were written."""

    def __init__(self, text: str):
        self.fields = {name: _Type(kind) for name, kind in _fields(text).items()}
        self.schema: Any = msgspec.json.decode(text)

    def fits(self, table: Table) -> bool:
        """Whether it has the fields of a table."""
        return self.fields.keys() == set(table.columns)

    def check(self, table: Table) -> None:
        """BackupError that names each field that is missing, too many, or of another type."""
        wrong = [f"{name} is missing" for name in table.columns if name not in self.fields]
        wrong += [
            f"{name[:64]} is no field of it" for name in self.fields if name not in table.columns
        ]
        for field in table.stored_fields:
            if field.name in self.fields:
                wrong += self.fields[field.name].complaints(field)
        if wrong:
            raise BackupError(f"This is no backup of {table.path}: {'; '.join(wrong[:10])}.")

    def rows(self) -> Any:
        """What fastavro decodes an array of rows with."""
        return _rows([{"name": name, "type": kind.read_as} for name, kind in self.fields.items()])

    def units(self, table: Table) -> list[tuple[str, Callable[[int], Any]]]:
        """(field, conversion) where moments are in other units than microseconds."""
        kinds = [(field.name, self.fields[field.name].unit) for field in table.stored_fields]
        return [(name, UNITS[unit]) for name, unit in kinds if unit and unit != "micros"]


class _Type:
    """The type of one field."""

    def __init__(self, written: Any):
        self.base, logical = _base(written)
        _, _, self.unit = logical.rpartition("timestamp-") if "timestamp-" in logical else ("",) * 3
        plain = READ_AS.get(self.base, "")
        self.read_as: Any = plain
        if isinstance(written, list):
            self.read_as = ["null" if one == "null" else plain for one in written]

    def complaints(self, field: Field) -> list[str]:
        """Why a column cannot be read from it."""
        if self.base not in TAKEN[field.type]:
            return [f"{field.name} is of type {self.base}, not {' or '.join(TAKEN[field.type])}"]
        if field.type is Instant and self.base == "long" and self.unit not in UNITS:
            return [f"{field.name} is a long without a timestamp's logicalType"]
        return []


class _Field(Struct):
    name: str
    type: Any


class _Record(Struct, tag_field="type", tag="record"):
    fields: list[_Field]


def _fields(text: str) -> dict[str, Any]:
    try:
        written = msgspec.json.decode(text, type=_Record).fields
    except (msgspec.DecodeError, RecursionError) as error:
        raise BackupError(f"The Avro schema is no record that can be read: {error}") from None
    fields = {field.name: field.type for field in written}
    if len(fields) < len(written):
        raise BackupError("The Avro schema has two fields of one name.")
    return fields


def _base(written: Any) -> tuple[str, str]:
    """(type, logical type) of a primitive, bare, annotated or in a union with null."""
    if isinstance(written, list):
        others = [one for one in written if one != "null"]
        written = others[0] if len(written) == 2 and len(others) == 1 else "a union of others"
    if isinstance(written, dict) and isinstance(written.get("type"), str):
        return written["type"], str(written.get("logicalType", ""))
    return (written, "") if isinstance(written, str) else ("a nested one", "")


def _rows(fields: list[dict[str, Any]]) -> Any:
    row = {"type": "record", "name": "row", "fields": fields}
    return fastavro.parse_schema({"type": "array", "items": row})
