"""The tables of the server equal the structs, and its query plans use the indexes."""

from __future__ import annotations

import pytest

import sql
from service.core.database.transactions import Database
from service.core.rules.field_types import Boolean, Fixed, Moment, Text, Whole
from service.core.rules.kind import Kind
from service.core.tables import TABLES, Table

COLUMNS = """
SELECT column_name, is_nullable, data_type, character_maximum_length, datetime_precision
FROM information_schema.columns
WHERE table_schema = DATABASE() AND table_name = %s ORDER BY ordinal_position
"""
DECIMALS = """
SELECT column_name, numeric_precision, numeric_scale FROM information_schema.columns
WHERE table_schema = DATABASE() AND table_name = %s AND data_type = 'decimal'
ORDER BY ordinal_position
"""
REFERENCES = """
SELECT column_name, referenced_table_name, referenced_column_name
FROM information_schema.key_column_usage
WHERE table_schema = DATABASE() AND table_name = %s AND referenced_table_name IS NOT NULL
"""
COLLATIONS = """
SELECT table_name, column_name, collation_name FROM information_schema.columns
WHERE table_schema = DATABASE() AND data_type IN ('varchar', 'char')
"""


def type_of(kind: Kind) -> tuple[object, ...]:
    """(type, characters, digits of a second, digits, decimals) of a column."""
    match kind:
        case Whole():
            return ("int" if kind.avro == "int" else "bigint", None, None)
        case Text():
            return ("varchar", kind.longest, None)
        case Moment():
            return ("datetime", None, 6)
        case Fixed():
            return ("decimal", None, None)
        case Boolean():
            return ("tinyint", None, None)
    return ("date", None, None)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.path)
async def test_decimals_have_the_digits_of_their_fields(database: Database, table: Table) -> None:
    found = await database.fetch(DECIMALS, (table.name,))
    assert found == [
        (field.name, field.kind.precision, field.kind.scale)
        for field in table.stored_fields
        if isinstance(field.kind, Fixed)
    ]


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.path)
async def test_the_columns_are_the_fields(database: Database, table: Table) -> None:
    columns = await database.fetch(COLUMNS, (table.name,))
    expected = [
        (field.name, "YES" if field.optional else "NO", *type_of(field.kind))
        for field in table.stored_fields
    ]
    assert [(name, null, kind.lower(), *rest) for name, null, kind, *rest in columns] == expected


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.path)
async def test_the_foreign_keys_are_the_references(database: Database, table: Table) -> None:
    found = await database.fetch(REFERENCES, (table.name,))
    expected = [(field.name, field.references, "id") for field in table.fields if field.references]
    assert sorted(found) == sorted(expected)


async def test_every_text_compares_by_code_point(database: Database) -> None:
    found = await database.fetch(COLLATIONS)
    assert {table for table, _, _ in found} >= {table.name for table in TABLES}
    assert [row for row in found if row[2] not in ("utf8mb4_bin", "ascii_bin")] == []


@pytest.mark.parametrize(
    ("statement", "parameters"),
    [
        *[(name, (100, 10)) for name in ("page", "ids", "nth")],
        *[(name, (100, 110)) for name in ("backup_page", "checksum")],
    ],
)
@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.path)
async def test_a_page_is_read_along_the_primary_key(
    database: Database, table: Table, statement: str, parameters: tuple[int, int]
) -> None:
    await _fill(database, 200)
    plan = await _plan(database, table.sql[statement], parameters)
    assert _reads_along_the_primary_key(plan, table), plan


@pytest.mark.parametrize("statement", ["find", "existing"])
@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.path)
async def test_ids_are_looked_up_by_the_primary_key(
    database: Database, table: Table, statement: str
) -> None:
    await _fill(database, 200)
    plan = await _plan(database, sql.with_in_list(table.sql[statement], 2), (3, 150))
    assert _reads_along_the_primary_key(plan, table), plan


async def _plan(database: Database, statement: str, parameters: tuple[int, ...]) -> str:
    """The text of the server's query plan."""
    rows = await database.fetch(f"EXPLAIN {statement}", parameters)
    return "\n".join(" ".join(map(str, row)) for row in rows)


def _reads_along_the_primary_key(plan: str, table: Table) -> bool:
    lines = [line for line in plan.splitlines() if table.name in line]
    ranges = (
        "range scan on {} using PRIMARY",
        "range PRIMARY",
        "TABLE RANGE SCAN",
        "TABLE GET",
    )
    others = ("Table scan", "Sort", " ALL ", "filesort", "TABLE FULL SCAN", "SORT")
    return any(text.format(table.name) in line for line in lines for text in ranges) and not any(
        text in line for line in lines for text in others
    )


async def _fill(database: Database, count: int) -> None:
    async with database.transaction() as transaction:
        for table in TABLES:
            row = tuple(
                str(field.kind.example).removesuffix("Z")
                if isinstance(field.kind, Moment)
                else field.kind.example
                for field in table.fields
            )
            rows = [(number, *row) for number in range(1, count + 1)]
            await transaction.insert(table.sql["insert_with_id"], rows)
