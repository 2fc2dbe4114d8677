"""Other programs read our files, and we read theirs by Avro's schema resolution."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import fastavro
import pytest

from service.core.backups.format import avro_schema
from service.core.backups.format.avro import Reader
from service.core.backups.format.codecs import CODECS, Codec
from service.core.errors import BackupError
from service.core.rules.avro_records import validate
from tests.support.backup_files import EMPLOYEES, JOBS, avro_file, records, verified
from tests.support.hostile_files import SCHEMA, block, header

ROWS = records(EMPLOYEES, 50)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DATES = [{**row, "datetime": EPOCH + timedelta(microseconds=row["datetime"])} for row in ROWS]
NAIVE = [{**row, "datetime": row["datetime"].replace(tzinfo=None)} for row in DATES]
EXPECTED = validate(EMPLOYEES, ROWS).rows


def rows_of(content: bytes) -> list[Any]:
    """The rows that a restore would write."""
    reader = Reader(EMPLOYEES, io.BytesIO(content))
    reader.scan()
    batches = [validate(EMPLOYEES, page) for page in reader]
    assert [batch.rejects for batch in batches] == [[] for _ in batches]
    return [row for batch in batches for row in batch.rows]


def written(fields: dict[str, Any], rows: list[dict[str, Any]], codec: str = "deflate") -> bytes:
    """A file that fastavro writes, with fields of this order and these types."""
    schema = {
        "type": "record",
        "name": "theirs",
        "fields": [{"name": name, "type": kind} for name, kind in fields.items()],
    }
    out = io.BytesIO()
    fastavro.writer(out, schema, rows, codec, sync_interval=500)
    return out.getvalue()


PLAIN = {
    "id": "int",
    "name": "string",
    "datetime": {"type": "long", "logicalType": "timestamp-micros"},
    "department_id": "int",
    "job_id": "int",
}
NULLABLE = {name: ["null", kind] for name, kind in PLAIN.items()}
WHOLE = [{**row, "datetime": row["datetime"].replace(microsecond=0)} for row in DATES]


@pytest.mark.parametrize("codec", CODECS)
def test_fastavro_reads_ours(codec: Codec) -> None:
    read: list[Any] = [*fastavro.reader(io.BytesIO(avro_file(EMPLOYEES, ROWS, codec)))]
    assert read == NAIVE


@pytest.mark.filterwarnings("ignore:Unknown local-timestamp-micros")
@pytest.mark.parametrize("codec", ["deflate", "null"])
def test_apache_avro_reads_ours(codec: Codec) -> None:
    from avro.datafile import DataFileReader
    from avro.io import DatumReader

    with DataFileReader(io.BytesIO(avro_file(EMPLOYEES, ROWS, codec)), DatumReader()) as reader:
        read = [*reader]
    assert [row["id"] for row in read] == [row["id"] for row in ROWS]
    assert [row["name"] for row in read] == [row["name"] for row in ROWS]


def test_apache_avro_writes_what_we_read() -> None:
    from avro.datafile import DataFileWriter
    from avro.io import DatumWriter
    from avro.schema import make_avsc_object

    fields = [{"name": name, "type": kind} for name, kind in PLAIN.items()]
    schema = make_avsc_object({"type": "record", "name": "theirs", "fields": fields})
    out = io.BytesIO()
    writer = DataFileWriter(out, DatumWriter(), schema, codec="deflate")
    for row in DATES:
        writer.append(row)
    writer.flush()
    assert rows_of(out.getvalue()) == EXPECTED


def test_polars_reads_ours_and_writes_what_we_read() -> None:
    import polars

    frame = polars.read_avro(io.BytesIO(avro_file(EMPLOYEES, ROWS)))
    assert frame["name"].to_list() == [row["name"] for row in ROWS]
    assert frame["id"].to_list() == [row["id"] for row in ROWS]
    for codec in ("uncompressed", "deflate", "snappy"):
        out = io.BytesIO()
        polars.DataFrame(NAIVE).write_avro(out, codec)
        assert rows_of(out.getvalue()) == EXPECTED


@pytest.mark.parametrize(
    "content",
    [
        lambda: written(PLAIN, DATES),
        lambda: written(dict(reversed(PLAIN.items())), DATES),
        lambda: written({**PLAIN, "id": "long", "job_id": "long"}, DATES),
        lambda: written(NULLABLE, DATES),
        lambda: written({**PLAIN, "name": ["string", "null"]}, DATES),
        lambda: written({**PLAIN, "name": {"type": "string", "avro.java.string": "String"}}, DATES),
        lambda: written(
            {**PLAIN, "name": "bytes"}, [{**row, "name": row["name"].encode()} for row in DATES]
        ),
        lambda: written(
            {**PLAIN, "datetime": "string"},
            [{**row, "datetime": row["datetime"].isoformat()} for row in DATES],
        ),
        lambda: written(
            {**PLAIN, "datetime": {"type": "long", "logicalType": "local-timestamp-micros"}},
            [{**row, "datetime": row["datetime"].replace(tzinfo=None)} for row in DATES],
        ),
        *[lambda codec=codec: written(PLAIN, DATES, codec) for codec in CODECS],
    ],
)
def test_files_of_other_writers_give_the_same_rows(content: Callable[[], bytes]) -> None:
    assert rows_of(content()) == EXPECTED
    assert not verified(content()).verified


@pytest.mark.parametrize("unit", ["timestamp-millis", "local-timestamp-millis"])
def test_milliseconds_are_read(unit: str) -> None:
    kind = {"type": "long", "logicalType": unit}
    whole = [{**row, "datetime": row["datetime"] // 10**6 * 10**6} for row in ROWS]
    moments = (
        WHOLE
        if unit.startswith("t")
        else [{**row, "datetime": row["datetime"].replace(tzinfo=None)} for row in WHOLE]
    )
    assert rows_of(written({**PLAIN, "datetime": kind}, moments)) == validate(EMPLOYEES, whole).rows


def test_large_blocks_are_read_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    from service.core.backups.format import avro

    monkeypatch.setattr(avro, "DECODED_ROWS", 7)
    assert rows_of(written(PLAIN, DATES)) == EXPECTED
    assert rows_of(avro_file(EMPLOYEES, ROWS)) == EXPECTED


def test_a_null_is_an_error_of_its_row() -> None:
    content = written(NULLABLE, [{**DATES[0], "name": None}, DATES[1]])
    (page,) = Reader(EMPLOYEES, io.BytesIO(content))
    (reject,) = validate(EMPLOYEES, page).rejects
    assert [(error.field, error.code) for error in reject.errors] == [("name", "type")]


def test_a_datetime_out_of_range_is_an_error_of_its_row() -> None:
    for micros in (-62_135_596_800_000_000, 2**62, -(2**62)):
        (reject,) = validate(EMPLOYEES, [{**ROWS[0], "datetime": micros}]).rejects
        assert [(error.field, error.code) for error in reject.errors] == [
            ("datetime", "out_of_range")
        ]


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"id": "int"}, "job is missing"),
        ({"id": "int", "job": "string", "pay": "int"}, "pay is not one"),
        ({"id": "double", "job": "string"}, "id is of type double"),
        ({"id": "int", "job": ["null", "int", "string"]}, "union"),
        ({"id": "int", "job": {"type": "array", "items": "string"}}, "array"),
        ({"id": {"type": "int", "logicalType": "date"}, "job": "string"}, "id is a date"),
        ({"id": {"type": "long", "logicalType": "timestamp-millis"}, "job": "string"}, "timestamp"),
        (
            {"id": "int", "job": {"type": "bytes", "logicalType": "decimal", "precision": 9}},
            "job is a decimal, not a plain bytes",
        ),
    ],
)
def test_a_wrong_field_is_named(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(BackupError, match=says):
        Reader(JOBS, io.BytesIO(written(fields, [])))


@pytest.mark.parametrize("logical", ["date", "decimal", "timestamp-millis", "timestamp-nanos"])
def test_a_logical_type_of_another_type_is_ignored(logical: str) -> None:
    """Avro demands it: `"x" * 1000` is not a number of microseconds."""
    kinds = {name: {"type": "string", "logicalType": logical} for name in ("name", "datetime")}
    rows = [{**row, "datetime": row["datetime"].isoformat()} for row in DATES]
    content = written({**PLAIN, "name": "string", "datetime": "string"}, rows, "null")
    schema = fastavro.reader(io.BytesIO(content)).writer_schema
    assert isinstance(schema, dict)
    fields = [{**one, "type": kinds.get(one["name"], one["type"])} for one in schema["fields"]]
    body = fastavro.schemaless_writer
    out = io.BytesIO()
    for row in rows:
        body(out, schema, row)
    hostile = header({**SCHEMA, "fields": fields}) + block(len(rows), out.getvalue())
    assert rows_of(hostile) == EXPECTED


def test_a_long_without_a_unit_is_not_a_datetime() -> None:
    with pytest.raises(BackupError, match="logicalType"):
        Reader(EMPLOYEES, io.BytesIO(written({**PLAIN, "datetime": "long"}, [])))


def test_our_schema_is_fixed() -> None:
    assert avro_schema.schema(EMPLOYEES) == {
        "type": "record",
        "name": "hired_employees",
        "namespace": "hirebase",
        "fields": [
            {"name": "id", "type": "int"},
            {"name": "name", "type": "string"},
            {"name": "datetime", "type": {"type": "long", "logicalType": "local-timestamp-micros"}},
            {"name": "department_id", "type": "int"},
            {"name": "job_id", "type": "int"},
        ],
    }
