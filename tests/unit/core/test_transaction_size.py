"""The size of a statement is planned before it is made: never too small, and hardly too large."""

from __future__ import annotations

import pytest
from pymysql.converters import escape_string

from service.core.database.literals import render
from service.core.rules.avro_records import validate
from service.core.tables import TABLES, Table
from service.core.writes.merge import STATEMENT
from service.core.writes.transaction_size import literal_bytes
from tests.support.backup_files import records


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("text", ["x", 'it\'s \\ "quoted"', "😀" * 255])
def test_the_bytes_of_rows_in_a_statement_are_planned(table: Table, text: str) -> None:
    texts = {
        field.name: text for field in table.fields if field.name in ("name", "department", "job")
    }
    rows = validate(table, [row | texts for row in records(table, STATEMENT)]).rows
    statement = table.sql["replace"]
    marks = f"({', '.join(['%s'] * len(table.columns))})"
    rendered = render(marks, rows, escape_string)
    assert rendered
    actual = len(statement) - len(marks) + len(rendered)
    planned = sum(map(literal_bytes, rows))
    assert actual <= planned < 1.1 * actual
