"""The schema of a table's Avro files: ours, and the variants that other programs may write.

Rows are flat, so a field is a primitive, or a union of a primitive with null. Fields may have any
order and any integer width, as in Avro's schema resolution. An unknown or a missing field is an
error.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from functools import partial
from typing import Any

import fastavro
import msgspec
from msgspec import Struct

from service.core.errors import BackupError
from service.core.rules.field_types import MAX_PRECISION, Date, Fixed, Moment
from service.core.rules.kind import Kind
from service.core.tables import Field, Table

Conversion = Callable[[Any], Any]

READ_AS = {
    "int": "long",
    "long": "long",
    "boolean": "boolean",
    "string": "string",
    "bytes": "string",
}
"""The types that can be read, and the types that read them: their bytes are the same."""

UNITS: dict[str, Conversion] = {
    "millis": lambda value: value * 1000,
    "micros": lambda value: value,
    "nanos": lambda value: value // 1000 if value % 1000 == 0 else f"{value} nanoseconds",
}
"""Conversions to microseconds. Finer values become a text that no datetime accepts."""


_LOGICAL = {
    **{
        ("long", f"{local}timestamp-{unit}"): "timestamp"
        for unit in UNITS
        for local in ("", "local-")
    },
    ("int", "date"): "date",
    ("bytes", "decimal"): "decimal",
}
"""(type, logical type) and what it means. Avro ignores a logical type of any other type."""
NEEDED: dict[type[Kind], tuple[str, str]] = {
    Moment: ("long", "timestamp"),
    Date: ("int", "date"),
    Fixed: ("bytes", "decimal"),
}
"""Fields whose base type needs a logical type."""
EPOCH = date(1970, 1, 1).toordinal()


def schema(table: Table) -> dict[str, Any]:
    """The schema of a table's backups. It is fixed; datetimes are microseconds in UTC."""
    return {
        "type": "record",
        "name": table.name,
        "namespace": "hirebase",
        "fields": [_written(field) for field in table.stored_fields],
    }


def _written(field: Field) -> dict[str, Any]:
    if field.optional:
        return {"name": field.name, "type": ["null", field.kind.avro], "default": None}
    return {"name": field.name, "type": field.kind.avro}


class WrittenSchema:
    """The schema in a file's header."""

    def __init__(self, text: str):
        self.fields = {name: _Type(kind) for name, kind in _fields(text).items()}
        self.schema: Any = msgspec.json.decode(text)

    def fits(self, table: Table) -> bool:
        """Whether it has exactly the fields of a table."""
        return self.fields.keys() == set(table.columns)

    def check(self, table: Table) -> None:
        """BackupError that names each field that is missing, unknown or of a wrong type."""
        wrong = [f"{name} is missing" for name in table.columns if name not in self.fields]
        wrong += [
            f"{name[:64]} is not one of its fields"
            for name in self.fields
            if name not in table.columns
        ]
        for field in table.stored_fields:
            if field.name in self.fields:
                wrong += self.fields[field.name].mismatches(field)
        if wrong:
            raise BackupError(f"This is not a backup of {table.path}: {'; '.join(wrong[:10])}.")

    def rows(self) -> Any:
        """The schema that decodes an array of rows."""
        return _rows([{"name": name, "type": kind.read_as} for name, kind in self.fields.items()])

    def conversions(self, table: Table) -> list[tuple[str, Conversion]]:
        """(field, conversion) for fields whose values are converted after they are read."""
        kinds = [(field.name, self.fields[field.name]) for field in table.stored_fields]
        return [(name, kind.conversion) for name, kind in kinds if kind.conversion]


class _Type:
    """The type of one field. `conversion` turns its values into those that are validated."""

    def __init__(self, written: Any):
        self.base, logical, scale = _base(written)
        self.logical = _LOGICAL.get((self.base, logical), "")
        plain = "bytes" if self.logical == "decimal" else READ_AS.get(self.base, "")
        self.conversion: Conversion | None = None
        if self.logical == "timestamp" and not logical.endswith("micros"):
            self.conversion = UNITS[logical.rpartition("-")[2]]
        elif self.logical == "date":
            self.conversion = _day
        elif self.logical == "decimal":
            self.conversion = partial(_decimal, scale)
        self.read_as: Any = plain
        self.optional = isinstance(written, list)
        if self.optional:
            self.read_as = ["null" if one == "null" else plain for one in written]

    def mismatches(self, field: Field) -> list[str]:
        """Reasons why a column cannot be read from it."""
        accepted = field.kind.readable
        if self.base not in accepted:
            return [f"{field.name} is of type {self.base[:64]}, not {' or '.join(accepted)}"]
        base, logical = NEEDED.get(type(field.kind), ("", ""))
        needed = logical if self.base == base else ""
        if self.logical == needed:
            return []
        if needed:
            return [f"{field.name} is a {base} without a {needed}'s logicalType"]
        return [f"{field.name} is a {self.logical}, not a plain {self.base}"]


class _Field(Struct):
    name: str
    type: Any


class _Record(Struct, tag_field="type", tag="record"):
    fields: list[_Field]


def _fields(text: str) -> dict[str, Any]:
    try:
        written = msgspec.json.decode(text, type=_Record).fields
    except (msgspec.DecodeError, RecursionError) as error:
        raise BackupError(f"The Avro schema cannot be read as a record: {error}") from None
    fields = {field.name: field.type for field in written}
    if len(fields) < len(written):
        raise BackupError("The Avro schema has two fields with the same name.")
    return fields


def _base(written: Any) -> tuple[str, str, int]:
    """(type, logical type, scale) of a primitive, bare, annotated or in a union with null."""
    if isinstance(written, list):
        others = [one for one in written if one != "null"]
        written = others[0] if len(written) == 2 and len(others) == 1 else "another union"
    if isinstance(written, dict) and isinstance(written.get("type"), str):
        scale = written.get("scale", 0)
        known = type(scale) is int and 0 <= scale <= MAX_PRECISION
        logical = str(written.get("logicalType", "")) if known else ""
        return written["type"], logical, scale if known else 0
    return (written, "", 0) if isinstance(written, str) else ("a nested type", "", 0)


def _day(days: int) -> str:
    try:
        return date.fromordinal(EPOCH + days).isoformat()
    except (ValueError, OverflowError):
        return f"day {days}"  # no date has this form


def _decimal(scale: int, unscaled: bytes) -> str:
    if len(unscaled) > MAX_PRECISION:
        return f"{len(unscaled)} bytes"  # no number has this form
    number = int.from_bytes(unscaled, "big", signed=True)
    digits = f"{abs(number):0{scale + 1}}"
    whole, decimals = digits[: len(digits) - scale], digits[len(digits) - scale :]
    return f"{'-' if number < 0 else ''}{whole}.{decimals}".removesuffix(".")


def unscaled(text: str) -> bytes:
    """The bytes of a decimal number."""
    number = int(text.replace(".", ""))
    return number.to_bytes((number.bit_length() + 8) // 8, "big", signed=True)


def _rows(fields: list[dict[str, Any]]) -> Any:
    row = {"type": "record", "name": "row", "fields": fields}
    return fastavro.parse_schema({"type": "array", "items": row})
